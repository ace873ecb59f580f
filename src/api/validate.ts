import type { TSchema } from "typebox";
import { Compile } from "typebox/compile";
import { Problem } from "../domain/problem.ts";
import { unknownField } from "./envelope.ts";
import { PATTERN_WORDS } from "./schemas.ts";

interface SchemaPart {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, SchemaPart>>;
  readonly items?: SchemaPart;
  readonly additionalProperties?: unknown;
}

interface Violation {
  readonly keyword: string;
  readonly instancePath: string;
  readonly message: string;
  readonly params: Readonly<Record<string, unknown>>;
}

/** Values that an error must not repeat. */
const UNSHOWN = /^(secret|headers)/;
const SHOWN_MAX = 60;
const ADDITIONAL = "additionalProperties";

/**
 * fastify's validator: bodies are taken as they are, never coerced, and nothing is removed. Only a query's texts become
 * the numbers and booleans that its schema says, and only where they are spelled like JSON does.
 */
export function compileValidator({ schema, httpPart }: { schema: unknown; httpPart?: string }) {
  const part = schema as TSchema & SchemaPart;
  const compiled = Compile(part);
  return (given: unknown): { value: unknown } | { error: Problem } => {
    const value = httpPart === "querystring" ? readQuery(part, given) : given;
    if (compiled.Check(value)) return { value };
    if (httpPart === "body" && (value === null || value === undefined)) {
      return { error: new Problem("bad_request", "the call needs a body: a JSON object") };
    }
    const violations = compiled.Errors(value) as unknown as readonly Violation[];
    return { error: problemOf(part, value, violations) };
  };
}

function readQuery(schema: SchemaPart, given: unknown): unknown {
  // Without a prototype, a parameter called __proto__ is one like any other.
  const query: Record<string, unknown> = Object.create(null);
  for (const [name, text] of Object.entries(given as Record<string, unknown>)) {
    query[name] = readText(schema.properties?.[name]?.type, text);
  }
  return query;
}

function readText(type: SchemaPart["type"], text: unknown): unknown {
  if (typeof text !== "string") return text;
  if (type === "boolean" && (text === "true" || text === "false")) return text === "true";
  if (type === "integer" && /^-?\d{1,15}$/.test(text)) return Number(text);
  return text;
}

/** One problem of many: an unknown field first, because it is mostly a misspelled one that is then missing. */
function problemOf(schema: SchemaPart, value: unknown, violations: readonly Violation[]): Problem {
  const unknown = violations.find(
    (one) => one.keyword === ADDITIONAL && isClosedAt(schema, one.instancePath),
  );
  if (unknown !== undefined) {
    const names = unknown.params.additionalProperties as readonly string[];
    const known = Object.keys(schemaAt(schema, unknown.instancePath)?.properties ?? {});
    return unknownField(fieldOf(unknown.instancePath, names[0]), known);
  }
  const violation =
    violations.find(({ keyword }) => keyword !== "boolean" && keyword !== ADDITIONAL) ?? violations[0];
  if (violation === undefined) return new Problem("bad_request", "the request is not understood");
  if (violation.keyword === "required") {
    const names = violation.params.requiredProperties as readonly string[];
    const field = fieldOf(violation.instancePath, names[0]);
    return new Problem("invalid_field", `${field} is missing`, { details: { field } });
  }
  const field = fieldOf(violation.instancePath);
  if (field === "") return new Problem("bad_request", `the body ${wording(violation)}`);
  const detail = `${field} ${wording(violation)}${shown(field, valueAt(value, violation.instancePath))}`;
  return new Problem("invalid_field", detail, { details: { field } });
}

function wording({ keyword, params, message }: Violation): string {
  if (keyword === "pattern") return PATTERN_WORDS[String(params.pattern)] ?? message;
  if (keyword !== "enum") return message;
  const allowed = (params.allowedValues as readonly unknown[]).filter((value) => value !== null);
  return `must be one of ${allowed.join(", ")}`;
}

function shown(field: string, value: unknown): string {
  if (UNSHOWN.test(field) || (typeof value === "object" && value !== null)) return "";
  const text = JSON.stringify(value) ?? "";
  return `, not ${text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}...` : text}`;
}

/** `/retry/schedule/0` to `retry.schedule.0`. */
function fieldOf(instancePath: string, last?: string): string {
  const steps = stepsOf(instancePath);
  return (last === undefined ? steps : [...steps, last]).join(".").slice(0, 200);
}

function stepsOf(instancePath: string): string[] {
  return instancePath
    .split("/")
    .slice(1)
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** A map of values is open: what is reported of it is the value that is wrong. */
function isClosedAt(schema: SchemaPart, instancePath: string): boolean {
  return schemaAt(schema, instancePath)?.additionalProperties === false;
}

function schemaAt(schema: SchemaPart, instancePath: string): SchemaPart | undefined {
  return stepsOf(instancePath).reduce<SchemaPart | undefined>(
    (part, step) => part?.properties?.[step] ?? part?.items,
    schema,
  );
}

function valueAt(value: unknown, instancePath: string): unknown {
  return stepsOf(instancePath).reduce<unknown>(
    (part, step) => (typeof part === "object" && part !== null ? Reflect.get(part, step) : undefined),
    value,
  );
}
