import { randomBytes } from "node:crypto";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { pino } from "pino";
import { expect, onTestFinished } from "vitest";
import type { ApiConfig } from "../../src/api/context.ts";
import { createApi, type HookdApi } from "../../src/api/server.ts";
import { compileAddressPolicy } from "../../src/domain/address.ts";
import { formatId } from "../../src/domain/ids.ts";
import { SCOPES, type Scope } from "../../src/domain/key.ts";
import { makeKey } from "../../src/domain/key-text.ts";
import { createSealer } from "../../src/domain/seal.ts";
import type { Engine } from "../../src/engine/port.ts";
import type { Clock } from "../../src/lib/clock.ts";
import { createFakeEngine, type FakeEngine } from "./fake-engine.ts";

const SECONDS = 1_000;

export interface WorldOptions {
  readonly limits?: Partial<ApiConfig["limits"]>;
  readonly dev?: boolean;
  readonly bodiesBytesMax?: number;
}

/** An API over an engine in memory, with an admin key and a clock that tests move. */
export async function setup(options: WorldOptions = {}) {
  const time = { now: Date.UTC(2026, 10, 22, 8, 30), mono: 1_000 };
  const clock = { now: () => time.now, mono: () => time.mono };
  const engine = createFakeEngine(clock.now);
  const isDev = options.dev ?? false;
  const config: ApiConfig = {
    listen: { host: "127.0.0.1", port: 0 },
    net: { allowHttp: isDev, allowLoopback: isDev },
    delivery: { concurrencyMax: 128 },
    cache: { ttlMs: 300 * SECONDS, entries: 1_000 },
    limits: { payloadBytes: 256 * 1_024, batchBytes: 1_024 * 1_024, publishPerKey: 0, ...options.limits },
  };
  return { ...(await apiOver(engine, clock, config, options)), engine, time };
}

/** An API in front of any engine. */
export async function apiOver(
  engine: Engine,
  clock: Clock,
  config: ApiConfig,
  { bodiesBytesMax }: Pick<WorldOptions, "bodiesBytesMax"> = {},
) {
  const logged: string[] = [];
  const api = await createApi({
    engine,
    config,
    clock,
    log: pino({ level: "info" }, { write: (line: string) => void logged.push(line) }),
    sealer: createSealer(Buffer.alloc(32, 9), randomBytes),
    policy: compileAddressPolicy({
      allow: [],
      allowLoopback: config.net.allowLoopback,
      nat64: false,
      own: [],
    }),
    version: "1.2.3",
    metrics: async () => "hookd_events_accepted_total 1\n",
    ...(bodiesBytesMax === undefined ? {} : { bodiesBytesMax }),
  });
  onTestFinished(() => api.close());
  const admin = await addKey(engine, null);
  return { api, logged, admin, call: caller(api), keyFor: keyMaker(engine) };
}

/** What every world has, whatever its engine. */
export type AnyWorld = Awaited<ReturnType<typeof apiOver>>;
export type World = Awaited<ReturnType<typeof setup>>;
export type { FakeEngine };

async function addKey(engine: Engine, userId: string | null, scopes: readonly Scope[] = SCOPES) {
  const { text, hash } = makeKey(randomBytes);
  const key = await engine.createKey({ userId, scopes, name: null, hash, expiresAt: null });
  return { text, id: formatId("key", key.id, engine.salt) };
}

function keyMaker(engine: Engine) {
  return (userId: string, ...scopes: Scope[]) =>
    addKey(engine, userId, scopes.length === 0 ? SCOPES : scopes);
}

export interface CallOptions {
  readonly key?: { readonly text: string };
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  readonly json: any;
}

/** Calls in process, and holds every answer to the OpenAPI document. */
function caller(api: HookdApi) {
  const check = answerChecker(api);
  return async (method: string, path: string, options: CallOptions = {}): Promise<Answer> => {
    const isRaw = typeof options.body === "string" || Buffer.isBuffer(options.body);
    const headers: Record<string, string> = { ...options.headers };
    if (options.key) headers.authorization = `Bearer ${options.key.text}`;
    if (options.body !== undefined && !isRaw) headers["content-type"] ??= "application/json";
    const response = await api.server.inject({
      method: method as "GET",
      url: path,
      headers,
      ...(options.body === undefined
        ? {}
        : { payload: isRaw ? (options.body as string) : JSON.stringify(options.body) }),
    });
    const isJson = /json/.test(String(response.headers["content-type"]));
    const json = isJson && response.body !== "" ? JSON.parse(response.body) : undefined;
    const answer = { status: response.statusCode, headers: response.headers, text: response.body, json };
    await check(method, path, answer);
    return answer;
  };
}

/** Which path of the document a call went to, and whether its answer is one that the document allows. */
function answerChecker(api: HookdApi) {
  let ready: ReturnType<typeof load> | null = null;
  const compiled = new Map<string, ValidateFunction>();
  async function load() {
    const document = (await api.server.inject({ url: "/v1/openapi.json" })).json();
    const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
    ajv.addSchema(document, "api");
    return { document, ajv };
  }
  return async (method: string, path: string, answer: Answer) => {
    ready ??= load();
    const { document, ajv } = await ready;
    expect(answer.headers["x-request-id"]).toMatch(/./);
    expect(answer.headers["x-content-type-options"]).toBe("nosniff");
    const bare = path.split("?")[0] ?? "";
    const versioned = /^\/(webhooks|events|publish)(\/|$)/.test(bare) ? `/v1${bare}` : bare;
    const template = templateOf(Object.keys(document.paths), versioned);
    const operation = template === undefined ? undefined : document.paths[template][method.toLowerCase()];
    if (template === undefined || operation === undefined) {
      expect([404, 405]).toContain(answer.status);
      return;
    }
    const described = operation.responses[answer.status];
    expect(described, `${method} ${template} answered ${answer.status}: ${answer.text}`).toBeDefined();
    if (described.content === undefined) return expect(answer.text).toBe("");
    const [type] = Object.keys(described.content);
    expect(answer.headers["content-type"]).toContain(type);
    if (answer.json === undefined) return;
    const pointer = [
      "paths",
      template,
      method.toLowerCase(),
      "responses",
      String(answer.status),
      "content",
      type,
      "schema",
    ]
      .map((step) => encodeURIComponent(String(step).replaceAll("~", "~0").replaceAll("/", "~1")))
      .join("/");
    const ref = `api#/${pointer}`;
    const validate = compiled.get(ref) ?? ajv.compile({ $ref: ref });
    compiled.set(ref, validate);
    if (!validate(answer.json))
      throw new Error(`${method} ${path}: ${JSON.stringify(validate.errors)} in ${answer.text}`);
  };
}

/** The template with the fewest variables that fits. */
function templateOf(templates: readonly string[], path: string): string | undefined {
  const steps = path.split("/");
  const fits = (template: string) => {
    const parts = template.split("/");
    return (
      parts.length === steps.length &&
      parts.every((part, index) => part.startsWith("{") || part === steps[index])
    );
  };
  const variables = (template: string) => template.split("{").length;
  return templates.filter(fits).sort((a, b) => variables(a) - variables(b))[0];
}

export const hook = { event_id: "user.created", callback_url: "https://example.com/hooks" };
