import type { RouteOptions } from "fastify";
import { PROBLEMS, type ProblemCode } from "../domain/problem.ts";
import { OPERATIONAL_SCHEMAS } from "./operational-schemas.ts";
import * as schemas from "./schemas.ts";

/**
 * The OpenAPI 3.1 document, made from what fastify was given: paths, schemas and configuration of each route as
 * `onRoute` saw them. A schema with a title becomes a component of that name.
 */
export type SeenRoute = Pick<RouteOptions, "method" | "url" | "schema" | "config">;

type Json = Record<string, unknown>;

const TAGS: Readonly<Record<string, string>> = {
  webhooks: "Registrations: where a user's events go.",
  events: "Publishing, and what was published.",
  deliveries: "What is owed to webhooks, and every attempt at it.",
  dlq: "Deliveries that ended without success: inspect, replay, purge.",
  jobs: "Bulk work.",
  keys: "API keys.",
  operation: "For who runs hookd: backups, and holding all deliveries. With an admin key.",
  system: "Health, metrics, and this document.",
};

const HEADERS: Readonly<Record<string, Json>> = {
  "idempotency-key": {
    name: "Idempotency-Key",
    in: "header",
    description: "Another way to give `event_uid`.",
    schema: { type: "string", pattern: '^("[A-Za-z0-9_-]{1,64}"|[A-Za-z0-9_-]{1,64})$' },
  },
  traceparent: {
    name: "traceparent",
    in: "header",
    description:
      "W3C Trace Context: where it is recorded and hookd's traces are on, hookd's spans belong to that trace.",
    schema: { type: "string" },
  },
};

const STATUS_TEXTS: Readonly<Record<string, string>> = { 200: "Done.", 201: "Created.", 202: "Accepted." };

export function openApiDocument(routes: readonly SeenRoute[], version: string): Json {
  const components: Record<string, unknown> = {};
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const path = route.url.replaceAll(/:(\w+)/g, "{$1}");
    paths[path] ??= {};
    Object.assign(paths[path], { [String(route.method).toLowerCase()]: operation(route, components) });
  }
  const webhooks = operationalWebhooks(components);
  const schemaNames = Object.keys(components).sort();
  return {
    openapi: "3.1.0",
    info: {
      title: "hookd",
      version,
      summary: "Webhook delivery: signed, retried, durable, visible.",
      description: "`/webhooks`, `/events` and `/publish` answer without `/v1` too.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/", description: "The hookd that serves this document." }],
    security: [{ apiKey: [] }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths,
    webhooks,
    components: {
      schemas: Object.fromEntries(schemaNames.map((name) => [name, components[name]])),
      securitySchemes: {
        apiKey: { type: "http", scheme: "bearer", description: "An API key: `hk_...`." },
      },
    },
  };
}

function operation({ method, schema, config }: SeenRoute, components: Json): Json {
  const { body, params, querystring, response } = (schema ?? {}) as Record<string, Json | undefined>;
  const scope = config?.scope;
  const parameters = [
    ...parametersOf(params, "path", components),
    ...parametersOf(querystring, "query", components),
    ...(config?.readsHeaders ?? []).map((name) => HEADERS[name]),
  ];
  const hasBody = body !== undefined || config?.bodyTypes !== undefined;
  return {
    operationId: config?.operationId,
    summary: config?.summary,
    tags: [config?.tag],
    ...(scope === "open" ? { security: [] } : {}),
    ...(scope === "metrics" ? { security: [{}, { apiKey: [] }] } : {}),
    ...(scope === "open" || scope === "metrics" ? {} : { description: needs(scope) }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(hasBody ? { requestBody: requestBody(body, config, components) } : {}),
    responses: {
      ...answers(response ?? {}, config, components),
      ...refusals(config, method !== "GET", components),
    },
  };
}

/** What hookd itself sends, to webhooks that an admin key has registered for `hookd.*`. */
function operationalWebhooks(components: Json): Json {
  return Object.fromEntries(
    Object.entries(OPERATIONAL_SCHEMAS).map(([eventId, { operationId, summary, schema }]) => {
      const content = { "application/json": { schema: hoisted(schema, components) } };
      const operation = {
        operationId,
        summary,
        description: `Sent to the webhook that an admin key has registered for \`${eventId}\` or \`hookd.*\`.`,
        tags: ["operation"],
        security: [],
        requestBody: { required: true, content },
        responses: { "2XX": { description: "Taken." }, 410: { description: "Switches the webhook off." } },
      };
      return [eventId, { post: operation }];
    }),
  );
}

function needs(scope: string | undefined): string {
  return scope === "admin" ? "Needs an admin key (scope `admin`)." : `Needs the scope \`${scope}\`.`;
}

function parametersOf(schema: Json | undefined, place: "path" | "query", components: Json): Json[] {
  const { properties = {}, required = [] } = (schema ?? {}) as {
    properties?: Record<string, Json>;
    required?: readonly string[];
  };
  return Object.entries(properties).map(([name, property]) => {
    const { description, ...rest } = hoisted(property, components) as Json;
    return {
      name,
      in: place,
      ...(description === undefined ? {} : { description }),
      ...(place === "path" || required.includes(name) ? { required: true } : {}),
      schema: rest,
    };
  });
}

function requestBody(body: Json | undefined, config: SeenRoute["config"], components: Json): Json {
  const types = config?.bodyTypes ?? ["application/json"];
  return {
    required: config?.isBodyOptional !== true,
    content: Object.fromEntries(types.map((type) => [type, { schema: bodySchema(body, type, components) }])),
  };
}

function bodySchema(body: Json | undefined, type: string, components: Json): unknown {
  if (type === "application/x-ndjson")
    return { type: "string", description: "One event per line, each as in JSON." };
  return body === undefined ? {} : hoisted(body, components);
}

function answers(response: Json, config: SeenRoute["config"], components: Json): Json {
  const shown: Json = {};
  for (const [status, schema] of Object.entries(response)) {
    const answer = hoisted(schema, components) as Json;
    const description = (schema as Json).description ?? STATUS_TEXTS[status] ?? "Done.";
    const content = { [config?.answerType ?? "application/json"]: { schema: answer } };
    shown[status] = { description, headers: requestIdHeader(), ...(status === "204" ? {} : { content }) };
  }
  return shown;
}

/** What follows from a route's kind, and what it says that it may answer, by status. */
function refusals(config: SeenRoute["config"], readsBody: boolean, components: Json): Json {
  const codes = new Set<ProblemCode>(["bad_request", "internal"]);
  if (config?.scope !== "open") for (const code of authProblems) codes.add(code);
  if (config?.scope !== "open" && config?.tag !== "system")
    for (const code of engineProblems) codes.add(code);
  // A call that takes no body reads what is sent for one all the same, to refuse it.
  if (readsBody) codes.add("payload_too_large").add("unsupported_media_type");
  if (readsBody && config?.isPublish !== true) codes.add("invalid_json");
  for (const code of config?.problems ?? []) codes.add(code);
  const byStatus = Map.groupBy([...codes].sort(), (code) => PROBLEMS[code].status);
  const problem = hoisted(schemas.Problem, components);
  return Object.fromEntries(
    [...byStatus].map(([status, these]) => [
      String(status),
      {
        description: these.map((code) => `\`${code}\`: ${PROBLEMS[code].title}.`).join("\n"),
        headers: { ...requestIdHeader(), ...(status === 429 || status === 503 ? retryAfterHeader() : {}) },
        content: { "application/problem+json": { schema: problem } },
      },
    ]),
  );
}

/** What any call that reaches the engine may meet, and what its own fields may be. */
const engineProblems = [
  "store_unavailable",
  "disk_full",
  "overloaded",
  "shutting_down",
  "invalid_field",
  "unknown_field",
] as const;
const authProblems = ["unauthorized", "forbidden", "too_many_failures"] as const;

function requestIdHeader(): Json {
  return {
    "x-request-id": {
      description: "Names the request; hookd's log has it where the code is `internal`.",
      schema: { type: "string" },
    },
  };
}

function retryAfterHeader(): Json {
  return {
    "retry-after": { description: "Seconds to wait.", schema: { type: "string", pattern: "^[0-9]+$" } },
  };
}

/** A copy of a schema in which each one with a title is a reference to a component of that name. */
function hoisted(schema: unknown, components: Json): unknown {
  if (Array.isArray(schema)) return schema.map((item) => hoisted(item, components));
  if (typeof schema !== "object" || schema === null) return schema;
  const { title } = schema as { title?: unknown };
  if (typeof title !== "string") return copied(schema, components);
  if (components[title] === undefined) {
    components[title] = {};
    components[title] = copied(schema, components);
  }
  return { $ref: `#/components/schemas/${title}` };
}

/** Names of properties are not keywords: a property may be called `title`. */
function copied(schema: object, components: Json): Json {
  const copy: Json = {};
  for (const [keyword, value] of Object.entries(schema)) {
    if (keyword === "properties") {
      copy[keyword] = Object.fromEntries(
        Object.entries(value as Json).map(([name, property]) => [name, hoisted(property, components)]),
      );
    } else if (keyword === "examples" || keyword === "enum" || keyword === "const" || keyword === "default") {
      copy[keyword] = value;
    } else copy[keyword] = hoisted(value, components);
  }
  return copy;
}
