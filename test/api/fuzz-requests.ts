import fc from "fast-check";

/** Requests made from the OpenAPI document: most as it wants them, the others wrong in one place. */
export interface FuzzRequest {
  readonly operationId: string;
  readonly method: string;
  readonly path: string;
  readonly key: KeyName;
  /** Text or bytes: what is no JSON on purpose. */
  readonly body?: unknown;
  readonly headers: Record<string, string>;
}

export const KEYS = ["admin", "acme", "beta", "reader", "publisher", "made", "wrong", "none"] as const;
export type KeyName = (typeof KEYS)[number];

interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly examples?: readonly unknown[];
  readonly pattern?: string;
  readonly format?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
}

interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly { name: string; in: string; schema: Schema }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { schema: Schema }>> };
}

export interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

/** `{{wh 3}}` stands for the fourth webhook that an answer named, when the request is made. */
const pooled = (name: string) => fc.nat(30).map((index) => `{{${name} ${index}}}`);

/** Names that have to meet for anything to happen: few of each. */
const NAMED: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  event_id: fc.constantFrom("a.b", "a.c", "b", "a.*", "*"),
  user_id: fc.constantFrom("acme", "acme", "acme", "beta", "default", "*"),
  event_uid: fc.oneof(fc.constantFrom("uid-1", "uid-2"), pooled("evt")),
  callback_url: fc.constantFrom(
    ...[200, 204, 302, 400, 410, 500].map((status) => `http://127.0.0.1:9000/${status}`),
  ),
  webhook_id: pooled("wh"),
  ids: fc.array(pooled("dlv"), { minLength: 1, maxLength: 3 }),
  cursor: pooled("cursor"),
  secret: fc.constant("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
  headers: fc.dictionary(fc.constantFrom("x-a", "x-b"), fc.constantFrom("1", "2", "***"), { maxKeys: 2 }),
  // A schedule beside a base is refused: drawn apart, one would hardly ever get through.
  retry: fc.constantFrom(
    null,
    {},
    { schedule: [] },
    { schedule: ["0s", "30d"], permanent: ["4xx", "!404", "500-599"] },
    { base: "1ms", factor: 100, max: "30d", attempts: 100 },
    { schedule: ["1s"], base: "1s" },
  ),
  group: fc.constantFrom("webhook", "reason,event", "user,user"),
  expires_at: fc.constantFrom("2999-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
  since: fc.constantFrom("2h", "0s", "2020-01-01T00:00:00Z"),
  until: fc.constantFrom("2h", "0s", "9999-12-31T23:59:59Z"),
};
const DURATIONS = ["timeout", "overlap"];

/** Where a value belongs, sooner or later somebody sends one of these. */
const hostile = fc.constantFrom<unknown>(
  null,
  true,
  "",
  " ",
  "\u0000",
  "\ud800",
  "__proto__",
  "../..",
  "%00",
  "a".repeat(5_000),
  "9999-12-31T23:59:59.999999999Z",
  "0001-01-01T00:00:00+23:59",
  "999999999999999ms",
  "https://[::ffff:7f00:1]/",
  "https://a\u0000b.example/",
  0,
  -1,
  0.5,
  5e-324,
  1e-300,
  1e308,
  2 ** 53,
  [],
  [null],
  {},
  { constructor: { prototype: 1 } },
  Array.from({ length: 70 }).reduce((inner) => [inner], 0),
);

/** Bodies that no schema describes. */
const brokenBody = fc.constantFrom<string | Buffer>(
  "",
  " ",
  "{",
  "[",
  "nul",
  '"',
  "{}{}",
  "{}",
  "[]",
  "[{}]",
  "{}\n{}\n",
  "\ufeff{}",
  '{"a":1,"a":2}',
  '{"__proto__":{"event_id":"a"}}',
  '{"event_id":"a","event_id":"b","payload":1}',
  '{"event_id":"a.b","payload":1e999}',
  '{"event_id":"a.b","payload":"\\ud800"}',
  "[".repeat(100_000),
  `{"event_id":"a.b","payload":${"[".repeat(65)}${"]".repeat(65)}}`,
  Buffer.from([0x22, 0xff, 0xfe, 0x22]),
  Buffer.alloc(300_000, "a"),
);

const HEADERS: readonly (readonly [string, string])[] = [
  ["content-type", "text/plain"],
  ["content-type", "application/x-ndjson"],
  ["content-type", "nonsense"],
  ["content-type", "application/json; charset=utf-16"],
  ["content-encoding", "gzip"],
  ["idempotency-key", "uid-1"],
  ["idempotency-key", '"uid-2"'],
  ["idempotency-key", "a.b"],
  ["x-request-id", "<script>"],
];

export function requestsOf(document: Document): fc.Arbitrary<FuzzRequest> {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods)
      // A stream has no end that one could wait for; its own test reads it.
      .filter(([, { operationId }]) => operationId !== "streamAttempts")
      .map(([method, operation]) => ({
        // What is deleted is of no use to the others.
        weight: method === "delete" ? 1 : 4,
        arbitrary: requestOf(document, method.toUpperCase(), path, operation),
      })),
  );
  return fc.oneof(...operations);
}

function requestOf(
  document: Document,
  method: string,
  template: string,
  { operationId, parameters = [], requestBody }: Operation,
): fc.Arbitrary<FuzzRequest> {
  const schema = Object.values(requestBody?.content ?? {})[0]?.schema;
  const query = parameters.filter((parameter) => parameter.in === "query");
  return fc
    .record({
      key: fc.oneof(
        { weight: 3, arbitrary: fc.constant("admin" as const) },
        { weight: 2, arbitrary: fc.constant("acme" as const) },
        { weight: 2, arbitrary: fc.constantFrom(...KEYS) },
      ),
      id: fc.oneof(
        { weight: 6, arbitrary: pooled(prefixOf(template)) },
        { weight: 1, arbitrary: hostile.map(String) },
      ),
      query: fc.record(
        Object.fromEntries(
          query.map(({ name, schema }) => [name, sometimesWrong(valuesOf(document, schema, name))]),
        ),
        { requiredKeys: [] },
      ),
      isQueried: fc.boolean(),
      stray: fc.oneof(
        { weight: 12, arbitrary: fc.constant("") },
        { weight: 1, arbitrary: fc.constant("&x=1") },
      ),
      body: bodyOf(document, schema),
      header: fc.oneof(
        { weight: 8, arbitrary: fc.constant(null) },
        { weight: 1, arbitrary: fc.constantFrom(...HEADERS) },
      ),
    })
    .map(({ key, id, query, isQueried, stray, body, header }) => {
      const pairs = Object.entries(isQueried ? query : {}).map(
        ([name, value]) => `${name}=${escaped(value)}`,
      );
      const search = pairs.join("&") + stray;
      const path = template.replaceAll(/\{\w+\}/g, escaped(template.includes("publish") ? "a.b" : id));
      return {
        operationId,
        method,
        path: search === "" ? path : `${path}?${search}`,
        key,
        ...(body === undefined ? {} : { body }),
        headers: {
          ...(typeof body === "string" || Buffer.isBuffer(body)
            ? { "content-type": "application/json" }
            : {}),
          ...(header === null ? {} : { [header[0]]: header[1] }),
        },
      };
    });
}

/** What an id in this path names. */
function prefixOf(template: string): string {
  if (template.includes("/webhooks/")) return "wh";
  if (template.includes("/deliveries/")) return "dlv";
  if (template.includes("/jobs/")) return "job";
  return template.includes("/keys/") ? "key" : "evt";
}

function bodyOf(document: Document, schema: Schema | undefined): fc.Arbitrary<unknown> {
  if (schema === undefined) {
    return fc.oneof(
      { weight: 15, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: fc.oneof(hostile, brokenBody) },
    );
  }
  return fc.oneof(
    { weight: 8, arbitrary: valuesOf(document, schema) },
    { weight: 4, arbitrary: fc.tuple(valuesOf(document, schema), fc.nat(50), wrong).map(spoiled) },
    { weight: 1, arbitrary: brokenBody },
    { weight: 1, arbitrary: hostile },
  );
}

const wrong = fc.oneof(
  hostile.map((value) => ({ kind: "set" as const, value })),
  fc.constant({ kind: "remove" as const }),
  hostile.map((value) => ({ kind: "add" as const, value })),
);

/** The same with one member changed, taken away or added, somewhere inside. */
function spoiled([value, at, change]: [
  unknown,
  number,
  typeof wrong extends fc.Arbitrary<infer T> ? T : never,
]): unknown {
  const places: [holder: Record<string, unknown>, name: string][] = [];
  const copy = structuredClone(value);
  const visit = (part: unknown): void => {
    if (typeof part !== "object" || part === null) return;
    for (const [name, inner] of Object.entries(part)) {
      places.push([part as Record<string, unknown>, name]);
      visit(inner);
    }
  };
  visit(copy);
  const [holder, name] = places[at % Math.max(1, places.length)] ?? [];
  if (holder === undefined || name === undefined) return change.kind === "remove" ? undefined : change.value;
  if (change.kind === "set") holder[name] = change.value;
  else if (change.kind === "remove") delete holder[name];
  else holder.unheard_of = change.value;
  return copy;
}

function sometimesWrong(good: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 8, arbitrary: good }, { weight: 1, arbitrary: hostile });
}

/** Text in a path or a query. Half a surrogate pair cannot be written there. */
function escaped(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return encodeURIComponent(text.toWellFormed());
}

/** Values that a schema lets in. */
function valuesOf(document: Document, schema: Schema, name = ""): fc.Arbitrary<unknown> {
  const named = NAMED[name];
  if (named !== undefined) return named;
  if (DURATIONS.includes(name)) return fc.constantFrom("0s", "100ms", "1s", "30s", "24h", "30d");
  if (schema.$ref !== undefined) {
    const title = schema.$ref.split("/").at(-1) ?? "";
    return valuesOf(document, document.components.schemas[title] ?? {}, name);
  }
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if (Array.isArray(schema.type)) {
    const types = (schema.type as string[]).map((type) => valuesOf(document, { ...schema, type }, name));
    return fc.oneof(...types);
  }
  switch (schema.type) {
    case "null":
      return fc.constant(null);
    case "boolean":
      return fc.boolean();
    case "integer":
    case "number":
      return numberOf(schema);
    case "string":
      return textOf(schema);
    case "array":
      return fc.array(valuesOf(document, schema.items ?? {}), {
        minLength: schema.minItems ?? 0,
        maxLength: Math.min(schema.maxItems ?? 4, 4),
      });
    case "object":
      return objectOf(document, schema);
    default:
      return fc.jsonValue({ maxDepth: 3 });
  }
}

function numberOf({ type, minimum = 0, maximum = 1_000 }: Schema): fc.Arbitrary<number> {
  const edges = fc.constantFrom(minimum, maximum);
  if (type === "integer") return fc.oneof(edges, fc.integer({ min: minimum, max: maximum }));
  return fc.oneof(edges, fc.double({ min: minimum, max: maximum, noNaN: true }));
}

function textOf({ pattern, examples, minLength = 0, maxLength = 60 }: Schema): fc.Arbitrary<unknown> {
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern));
  const any = fc.string({ minLength, maxLength: Math.min(maxLength, 60), unit: "binary" });
  return examples === undefined ? any : fc.oneof(fc.constantFrom(...examples), any);
}

function objectOf(document: Document, schema: Schema): fc.Arbitrary<unknown> {
  const { properties, required = [], additionalProperties } = schema;
  if (properties === undefined) {
    const inner = typeof additionalProperties === "object" ? additionalProperties : {};
    return fc.dictionary(fc.string({ minLength: 1, maxLength: 20 }), valuesOf(document, inner), {
      maxKeys: 3,
    });
  }
  const members = Object.entries(properties).map(([name, part]) => [name, valuesOf(document, part, name)]);
  const whole = fc.record<Record<string, unknown>>(Object.fromEntries(members));
  // Few at a time: members that exclude each other, all drawn, would be refused each time.
  const picked = fc.array(fc.constantFrom(...Object.keys(properties)), { maxLength: 3 });
  return fc.tuple(whole, picked).map(([all, names]) => {
    const isKept = ([name]: [string, unknown]) => required.includes(name) || names.includes(name);
    return Object.fromEntries(Object.entries(all).filter(isKept));
  });
}
