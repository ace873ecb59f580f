import { isPermanentRule } from "../domain/classify.ts";
import { checkHeaders } from "../domain/headers.ts";
import { Problem } from "../domain/problem.ts";
import { RETRY_DELAY_MAX_MS } from "../domain/retry.ts";
import { formatSecret, parseSecret } from "../domain/secret.ts";
import { parseCallbackUrl } from "../domain/url.ts";
import type { RateLimit, RetryPolicy } from "../domain/webhook.ts";
import type { WebhookFields } from "../engine/port.ts";
import type { ApiContext } from "./context.ts";
import { durationField, invalid } from "./fields.ts";
import { MASK } from "./render.ts";
import type { WebhookChange, WebhookCreate } from "./webhook-schemas.ts";

/** Why 30 s at most: a hanging receiver holds a socket and a slot for all that time. */
const TIMEOUT_MIN_MS = 100;
const TIMEOUT_MAX_MS = 30_000;
/** As in the configuration: growth that is not said, and no end to it but the longest delay there is. */
const FACTOR = 2;
const SECRET_BYTES = 32;

type Header = readonly [name: string, value: string];
type Plain = Omit<WebhookFields, "userId" | "eventId" | "sealed" | "headerNames">;

/** What a new webhook is made of, its seal aside; each field checked, with the configured defaults left to be null. */
export function plainFields(context: ApiContext, body: Omit<WebhookCreate, "event_id" | "user_id">): Plain {
  return {
    callbackUrl: callbackUrlOf(context, body.callback_url),
    description: body.description ?? null,
    metadata: metadataOf(body.metadata ?? {}),
    isActive: body.is_active ?? true,
    rateLimit: rateLimitOf(body.rate_limit),
    concurrencyMax: body.concurrency_max ?? null,
    timeoutMs: timeoutOf(body.timeout),
    retry: retryOf(body.retry),
    permanent: permanentOf(body.retry),
    ordering: body.ordering ?? "none",
  };
}

/** The changes that a PATCH asks for; its headers aside, because they are sealed. */
export function plainChanges(
  context: ApiContext,
  body: WebhookChange,
): Partial<Plain> & { eventId?: string } {
  return {
    ...(body.event_id === undefined ? {} : { eventId: body.event_id }),
    ...(body.callback_url === undefined ? {} : { callbackUrl: callbackUrlOf(context, body.callback_url) }),
    ...(body.description === undefined ? {} : { description: body.description }),
    ...(body.metadata === undefined ? {} : { metadata: metadataOf(body.metadata) }),
    ...(body.is_active === undefined ? {} : { isActive: body.is_active }),
    ...(body.rate_limit === undefined ? {} : { rateLimit: rateLimitOf(body.rate_limit) }),
    ...(body.concurrency_max === undefined ? {} : { concurrencyMax: body.concurrency_max }),
    ...(body.timeout === undefined ? {} : { timeoutMs: timeoutOf(body.timeout) }),
    ...(body.retry === undefined ? {} : { retry: retryOf(body.retry), permanent: permanentOf(body.retry) }),
    ...(body.ordering === undefined ? {} : { ordering: body.ordering }),
  };
}

/** A webhook's own headers, checked. A value of `***` stands for the one that is `kept` under that name. */
export function headersOf(
  given: Readonly<Record<string, string>>,
  kept: readonly Header[],
): readonly Header[] {
  const verdict = checkHeaders(given);
  if (!verdict.ok) {
    const field = verdict.header === null ? "headers" : `headers.${verdict.header}`;
    throw new Problem("invalid_header", `${field} is refused: ${verdict.why}`, { details: { field } });
  }
  return verdict.headers.map(([name, value]) => [name, value === MASK ? keptValue(name, kept) : value]);
}

function keptValue(name: string, kept: readonly Header[]): string {
  const header = kept.find(([keptName]) => keptName === name);
  if (header !== undefined) return header[1];
  const field = `headers.${name}`;
  throw new Problem(
    "invalid_header",
    `${field} is ${MASK}, which stands for a value that the webhook has; it has none`,
    {
      details: { field },
    },
  );
}

/** The secret given, checked, or a new one. */
export function secretOf(context: ApiContext, given: string | undefined): string {
  if (given === undefined) return formatSecret(context.randomBytes(SECRET_BYTES));
  if (parseSecret(given) !== null) return given;
  throw new Problem("invalid_secret", "secret must be whsec_ and the canonical base64 of 24 to 64 bytes", {
    details: { field: "secret" },
  });
}

function callbackUrlOf(context: ApiContext, text: string): string {
  const { config, policy } = context;
  const verdict = parseCallbackUrl(text, { ...config.net, policy });
  if (verdict.ok) return verdict.url;
  throw new Problem("invalid_url", verdict.why, { details: { field: "callback_url" } });
}

function metadataOf(given: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const long = Object.keys(given).find((name) => name === "" || name.length > 64);
  if (long !== undefined) throw invalid("metadata", "has a name that is empty or longer than 64 characters");
  return given;
}

function rateLimitOf(given: WebhookCreate["rate_limit"]): RateLimit | null {
  if (given === null || given === undefined) return null;
  return { perSecond: given.per_second, burst: given.burst ?? Math.max(1, Math.ceil(given.per_second)) };
}

function timeoutOf(given: string | null | undefined): number | null {
  if (given === null || given === undefined) return null;
  return durationField(given, "timeout", TIMEOUT_MIN_MS, TIMEOUT_MAX_MS);
}

function retryOf(given: WebhookCreate["retry"]): RetryPolicy | null {
  if (given === null || given === undefined) return null;
  const { schedule, base, factor, max, attempts } = given;
  const isExponential = [base, factor, max, attempts].some((value) => value !== undefined);
  if (schedule !== undefined) {
    if (isExponential)
      throw invalid("retry", "has schedule beside base, factor, max or attempts: give one or the other");
    const delaysMs = schedule.map((text, index) => delayOf(text, `retry.schedule.${index}`));
    return { kind: "list", delaysMs };
  }
  if (!isExponential) return null;
  if (base === undefined || attempts === undefined) {
    throw invalid("retry", "needs base and attempts (and may have factor and max), or a schedule");
  }
  const baseMs = delayOf(base, "retry.base");
  const maxMs = max === undefined ? RETRY_DELAY_MAX_MS : delayOf(max, "retry.max");
  if (maxMs < baseMs) throw invalid("retry.max", "is shorter than retry.base", max);
  return { kind: "exponential", baseMs, factor: factor ?? FACTOR, maxMs, attempts };
}

function delayOf(text: string, field: string): number {
  return durationField(text, field, 0, RETRY_DELAY_MAX_MS);
}

function permanentOf(given: WebhookCreate["retry"]): readonly string[] | null {
  const rules = given?.permanent;
  if (rules === undefined) return null;
  const wrong = rules.findIndex((rule) => !isPermanentRule(rule));
  if (wrong === -1) return rules;
  throw invalid(
    `retry.permanent.${wrong}`,
    "must be like 4xx, 404, 400-404, or one of these with ! in front",
    rules[wrong],
  );
}
