import { randomBytes } from "node:crypto";
import { createServer, type Server, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type RouteOptions,
} from "fastify";
import { Problem } from "../domain/problem.ts";
import { publishRefusal } from "../domain/refusal.ts";
import { checkScope, createAuthenticator } from "./auth.ts";
import { backupRoutes } from "./backups.ts";
import { BODY_BYTES_MAX, takeAnything, takeEvents, takeJson } from "./bodies.ts";
import { BodyRoom } from "./body-room.ts";
import type { Api, ApiContext, ApiDeps, SchemaTypes } from "./context.ts";
import { createApiCounters } from "./counters.ts";
import { createCursors } from "./cursors.ts";
import { deliveryRoutes, webhookDeliveryRoutes } from "./deliveries.ts";
import { dlqRoutes } from "./dlq.ts";
import { eventRoutes } from "./events.ts";
import { FastConnections, type FastConnectionsDeps } from "./fast-connections.ts";
import { jobRoutes } from "./jobs.ts";
import { keyRoutes } from "./keys.ts";
import { openApiDocument, type SeenRoute } from "./openapi.ts";
import { pauseRoutes } from "./pause.ts";
import { problemBody, sendProblem, toProblem } from "./problems.ts";
import { publishEventRoutes, publishRawRoutes } from "./publish.ts";
import { createFastPublish } from "./publish-fast.ts";
import { createPublishRate } from "./publish-rate.ts";
import { count } from "./publishing.ts";
import { createRegistry } from "./registry.ts";
import { createRenderer } from "./render.ts";
import { createStreamHub, streamRoutes } from "./stream.ts";
import { openApiRoute, systemRoutes } from "./system.ts";
import { createTurns } from "./turns.ts";
import { compileValidator } from "./validate.ts";
import { createWaitingLimit } from "./waiting.ts";
import { webhookCommandRoutes } from "./webhook-commands.ts";
import { webhookRoutes } from "./webhooks.ts";

/** Limits of the HTTP server itself. A client that sends slowly holds a socket, and no more, for these times. */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** How late a timeout may be. Node looks every 30 s by default, which makes the 10 s above up to 40. */
const TIMEOUT_CHECK_MS = 2_000;
/** Longer than the 60 s of common load balancers: they close first, so no request meets a closing socket. */
const KEEP_ALIVE_TIMEOUT_MS = 65_000;
const HEADER_BYTES_MAX = 16 * 1_024;
const CONNECTIONS_MAX = 20_000;
/**
 * Connections that wait to be taken, as many as the kernel allows (`net.core.somaxconn`). Node takes one in each turn of
 * the event loop; beyond Node's own 511, publishers that all connect at once are made to try again for seconds, or reset.
 */
const CONNECTIONS_WAITING_MAX = 65_535;
/** An event id has 128 characters; each can be written as three. What is longer is not found. */
const PARAM_LENGTH_MAX = 400;
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const;
/** Characters of a field's name that an error repeats. */
const FIELD_SHOWN_MAX = 100;

export interface HookdApi {
  readonly server: FastifyInstance;
  /** For whoever invalidates from elsewhere (cluster, tests). */
  readonly context: ApiContext;
  /** Binds `config.listen`; port 0 gives a free one. */
  listen(): Promise<{ host: string; port: number }>;
  /** Takes no more connections, ends streams, and resolves when the requests in flight are answered. */
  close(): Promise<void>;
  /** For a client that does not read its answers, or leaves its side open: `close` would wait for it. */
  destroyConnections(): void;
}

/** Puts the HTTP API together, over the engine. Everything it depends on comes in here. */
export async function createApi(deps: ApiDeps): Promise<HookdApi> {
  const context = contextOf(deps);
  const routes: RouteOptions[] = [];
  let isClosing = false;
  const nextRequestId = requestNames(context.randomBytes);
  const refuseCrowd = createWaitingLimit();
  const room = new BodyRoom(deps.bodiesBytesMax);
  const requestId = requestIds(nextRequestId);
  const api: Api = fastify({
    bodyLimit: BODY_BYTES_MAX,
    clientErrorHandler: (error, socket) => refuseConnection(error, socket, nextRequestId()),
    exposeHeadRoutes: true,
    forceCloseConnections: "idle",
    // What the router cannot read comes here, past all hooks.
    frameworkErrors(error, request, reply) {
      nameAnswer(request, reply);
      sendProblem(reply, toProblem(error), context.engine.salt);
    },
    genReqId: (raw) => requestId(raw.headers["x-request-id"]),
    logger: false,
    maxRequestsPerSocket: 0,
    return503OnClosing: false,
    routerOptions: { maxParamLength: PARAM_LENGTH_MAX },
    serverFactory: (handle) =>
      createServer(
        {
          connectionsCheckingInterval: TIMEOUT_CHECK_MS,
          headersTimeout: HEADERS_TIMEOUT_MS,
          keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
          maxHeaderSize: HEADER_BYTES_MAX,
          requestTimeout: REQUEST_TIMEOUT_MS,
        },
        handle,
      ),
    trustProxy: false,
  }).withTypeProvider<SchemaTypes>();
  api.server.maxConnections = CONNECTIONS_MAX;
  const connections = takeConnections(api.server, {
    fast: createFastPublish(context, () => isClosing),
    room,
    salt: () => context.engine.salt,
    requestId,
    clock: deps.clock,
    limits: {
      idleMs: KEEP_ALIVE_TIMEOUT_MS,
      requestMs: REQUEST_TIMEOUT_MS,
      checkEveryMs: TIMEOUT_CHECK_MS,
    },
  });
  api.decorateRequest("apiKey", null);
  api.decorateRequest("bodyRoom", 0);
  api.setValidatorCompiler(compileValidator as never);
  // Answers go out as they are: the response schemas are for the document, and for the tests that hold answers to them.
  api.setSerializerCompiler(() => (answer) => JSON.stringify(answer));
  api.addHook("onRequest", (request, reply, done) => {
    nameAnswer(request, reply);
    const crowded = refuseCrowd(request.raw.socket, reply.raw);
    if (isClosing || crowded !== undefined) reply.header("connection", "close");
    // Before its body is read: nobody has asked for a key.
    done(crowded ?? (request.is404 ? notFound(request) : undefined));
  });
  api.addHook("preValidation", (request, _reply, done) => {
    room.leave(request);
    done();
  });
  api.addHook("onRoute", (route) => {
    routes.push(route);
    guard(context, room, route);
  });
  api.setErrorHandler((error, request, reply) => {
    const problem = toProblem(error, request.routeOptions.bodyLimit);
    if (problem.code === "internal") {
      context.log.error(
        {
          err: problem.cause ?? problem,
          request_id: request.id,
          method: request.method,
          route: request.routeOptions.url,
        },
        "request failed",
      );
    }
    if (problem.status === 413) reply.header("connection", "close");
    sendProblem(reply, problem, context.engine.salt);
  });
  addRoutes(api, context, routes);
  await api.ready();

  return {
    server: api as unknown as FastifyInstance,
    context,
    async listen() {
      // A copy: fastify puts a function into what it is given, and the configuration goes to threads.
      await api.listen({ ...context.config.listen, backlog: CONNECTIONS_WAITING_MAX });
      const address = api.server.address();
      if (address === null || typeof address === "string")
        throw new Error("the server listens on no TCP port");
      return { host: address.address, port: address.port };
    },
    async close() {
      isClosing = true;
      context.stream.close();
      connections.close();
      await api.close();
    },
    destroyConnections() {
      connections.destroyAll();
      api.server.closeAllConnections();
    },
  };
}

/** New connections are looked at before Node's server has them, which goes on with those that are handed over. */
function takeConnections(server: Server, deps: Omit<FastConnectionsDeps, "handOver">): FastConnections {
  const listeners = server.listeners("connection");
  server.removeAllListeners("connection");
  const connections = new FastConnections({
    ...deps,
    handOver: (socket) => {
      for (const listener of listeners) listener.call(server, socket);
    },
  });
  server.on("connection", (socket) => connections.take(socket));
  return connections;
}

function contextOf(deps: ApiDeps): ApiContext {
  const { engine, config, clock } = deps;
  const counters = deps.counters ?? createApiCounters();
  const auth = createAuthenticator(engine, clock);
  const render = createRenderer(engine.salt);
  const registry = createRegistry(
    engine,
    { ttlMs: config.cache.ttlMs, entriesMax: config.cache.entries },
    clock,
    counters,
  );
  engine.onWebhookChanged(registry.invalidateUser);
  return {
    engine,
    config,
    clock,
    log: deps.log,
    sealer: deps.sealer,
    policy: deps.policy,
    version: deps.version,
    metrics: deps.metrics,
    randomBytes: deps.randomBytes ?? randomBytes,
    auth,
    registry,
    render,
    counters,
    tracing: deps.tracing ?? null,
    cursors: createCursors(engine.salt),
    stream: createStreamHub(engine, auth, render, counters),
    publishRate: createPublishRate(config, clock),
    inTurn: createTurns(),
  };
}

function addRoutes(api: Api, context: ApiContext, routes: readonly RouteOptions[]): void {
  for (const prefix of ["/v1", ""]) {
    api.register(
      async (scope: Api) => {
        takeJson(scope as unknown as FastifyInstance);
        webhookRoutes(scope, context);
        webhookCommandRoutes(scope, context);
        webhookDeliveryRoutes(scope, context);
        eventRoutes(scope, context);
        if (prefix === "") return;
        deliveryRoutes(scope, context);
        dlqRoutes(scope, context);
        jobRoutes(scope, context);
        keyRoutes(scope, context);
        backupRoutes(scope, context);
        pauseRoutes(scope, context);
        streamRoutes(scope, context);
      },
      { prefix },
    );
    api.register(
      async (scope: Api) => {
        takeEvents(scope as unknown as FastifyInstance);
        publishEventRoutes(scope, context);
      },
      { prefix },
    );
    api.register(
      async (scope: Api) => {
        takeAnything(scope as unknown as FastifyInstance);
        publishRawRoutes(scope, context);
      },
      { prefix },
    );
  }
  systemRoutes(api, context);
  openApiRoute(api, () => openApiDocument(documented(routes), context.version));
  api.register(async (scope: Api) => refuseOtherMethods(scope, context, [...routes]));
}

/** Calls that have a name, under one path each: the unversioned ones are the same again. */
function documented(routes: readonly RouteOptions[]): SeenRoute[] {
  const isShown = ({ url, method, config }: RouteOptions) =>
    config?.operationId !== undefined &&
    method !== "HEAD" &&
    (url.startsWith("/v1/") || config.tag === "system");
  return routes.filter(isShown);
}

/** A path that exists answers 405 to the methods it does not take, and says which it does. */
function refuseOtherMethods(api: Api, context: ApiContext, routes: readonly RouteOptions[]): void {
  for (const [url, those] of Map.groupBy(routes, (route) => route.url)) {
    const taken = those.flatMap((route) => route.method);
    const allow = taken.join(", ");
    api.route({
      method: METHODS.filter((method) => !taken.includes(method)),
      url,
      exposeHeadRoute: false,
      config: { scope: "open" },
      onRequest(request, reply) {
        const problem = new Problem(
          "method_not_allowed",
          `${pathOf(request)} takes ${allow}, not ${request.method}`,
        );
        sendProblem(reply.header("allow", allow), problem, context.engine.salt);
      },
      handler: () => undefined,
    });
  }
}

/** Gives a route the hooks that its configuration asks for. A route that says nothing of keys is a mistake. */
function guard(context: ApiContext, room: BodyRoom, route: RouteOptions): void {
  const { config = {} } = route;
  const { scope } = config;
  if (scope === undefined)
    throw new Error(`the route ${route.method} ${route.url} does not say what a key needs`);
  // A HEAD route is made of its GET as that was before this hook: it is guarded like any other.
  if (scope === "open") return;

  const isOpenTo = scope === "metrics" ? isLocal : () => false;
  const needed = scope === "metrics" ? "read" : scope;
  route.onRequest = (request, _reply, done) => {
    const refusal = config.isPublish === true ? refusalNow(context) : undefined;
    if (refusal !== undefined) return done(refusal);
    if (isOpenTo(request)) return done();
    const { authorization } = request.headers;
    const known = context.auth.known(authorization);
    if (known !== null) return admit(known);
    context.auth.authenticate(authorization, request.socket.remoteAddress ?? "").then(admit, done);

    function admit(key: NonNullable<FastifyRequest["apiKey"]>): void {
      let problem: Problem | undefined;
      try {
        checkScope(key, needed as Exclude<typeof needed, "open">);
        request.apiKey = key;
        problem = room.enter(request);
        if (problem !== undefined && config.isPublish === true) count(context, problem);
      } catch (error) {
        problem = toProblem(error);
      }
      done(problem);
    }
  };
  if (config.isPublish === true) {
    // Asked again: others' bodies came meanwhile, and what cannot be taken is refused before any of it is parsed.
    route.preValidation = (_request, _reply, done) => done(refusalNow(context));
  } else if (config.isBodyOptional === true) {
    route.preValidation = (request, _reply, done) => {
      request.body ??= {};
      done();
    };
  } else if (route.schema?.body === undefined) {
    route.preValidation = (request, _reply, done) => done(strayBody(request));
  }
}

function notFound(request: FastifyRequest): Problem {
  return new Problem("not_found", `there is nothing at ${pathOf(request)}`);
}

function refusalNow(context: ApiContext): Problem | undefined {
  const problem = publishRefusal(context.engine) ?? undefined;
  if (problem !== undefined) count(context, problem);
  return problem;
}

/** A call that takes no body says so: what somebody put into one would be ignored without a word. */
function strayBody({ body }: FastifyRequest): Problem | undefined {
  if (body === undefined || body === null) return undefined;
  if (typeof body !== "object" || Array.isArray(body))
    return new Problem("bad_request", "this call takes no body: leave it out");
  const [name] = Object.keys(body);
  if (name === undefined) return undefined;
  const field = name.slice(0, FIELD_SHOWN_MAX);
  const detail = `${JSON.stringify(field)} is not a known field; this call takes none: leave the body out`;
  return new Problem("unknown_field", detail, { details: { field } });
}

/** From this machine, and not through a proxy on it. */
function isLocal(request: FastifyRequest): boolean {
  const { remoteAddress = "" } = request.socket;
  const isLoopback = /^(::ffff:)?127\./.test(remoteAddress) || remoteAddress === "::1";
  return (
    isLoopback && request.headers["x-forwarded-for"] === undefined && request.headers.forwarded === undefined
  );
}

/** Names that are unique to this process. */
function requestNames(random: (count: number) => Uint8Array): () => string {
  const prefix = `req_${Buffer.from(random(6)).toString("hex")}_`;
  let count = 0;
  return () => {
    count += 1;
    return prefix + count.toString(36);
  };
}

/** A caller's own x-request-id where it is harmless text, otherwise the next of ours. */
function requestIds(next: () => string): (given: string | readonly string[] | undefined) => string {
  return (given) => {
    return typeof given === "string" && /^[A-Za-z0-9._:-]{1,64}$/.test(given) ? given : next();
  };
}

/** What every answer has. */
function nameAnswer(request: FastifyRequest, reply: FastifyReply): void {
  reply.header("x-request-id", request.id).header("x-content-type-options", "nosniff");
}

function pathOf(request: FastifyRequest): string {
  const [path = ""] = request.url.split("?");
  return path.length > 100 ? `${path.slice(0, 100)}...` : path;
}

/** What Node refuses before there is a request: too slow (408), too much of headers (431), or no HTTP (400). */
function refuseConnection(error: Error & { code?: string }, socket: Socket, requestId: string): void {
  if (error.code === "ECONNRESET" || socket.destroyed) return;
  const problem = connectionProblem(error.code);
  const { status } = problem;
  // No id of an object is in it, so no salt is needed.
  const body = JSON.stringify(problemBody(problem, requestId, { a: 0, b: 0 }));
  if (socket.writable) {
    socket.write(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/problem+json; charset=utf-8\r\n` +
        `x-request-id: ${requestId}\r\nx-content-type-options: nosniff\r\nconnection: close\r\n` +
        `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
  }
  socket.destroy();
}

function connectionProblem(code: string | undefined): Problem {
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") {
    return new Problem(
      "request_timeout",
      `the request came too slowly: its headers have ${HEADERS_TIMEOUT_MS / 1_000} s, all of it ${REQUEST_TIMEOUT_MS / 1_000} s`,
    );
  }
  if (code === "HPE_HEADER_OVERFLOW")
    return new Problem("headers_too_large", `the request's headers have more than ${HEADER_BYTES_MAX} bytes`);
  return new Problem("bad_request", "this is not HTTP/1.1 as hookd reads it (RFC 9112)");
}
