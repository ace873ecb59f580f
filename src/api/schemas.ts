import { type Static, type TSchema, Type } from "typebox";
import { ATTEMPT_ERRORS, DEAD_REASONS, STATUSES, VERDICTS } from "../domain/delivery.ts";
import { SCOPES } from "../domain/key.ts";
import { PROBLEMS } from "../domain/problem.ts";

/**
 * The shapes of the API, written once: they validate what comes in, type the handlers, and are the OpenAPI document
 * (openapi.ts). A schema with a title is a component of that name there. Requests and answers are closed: a field that
 * is not listed is an error in a request, and a defect (that tests find) in an answer.
 */
export const closed = { additionalProperties: false } as const;

export function nullable<T extends TSchema>(schema: T) {
  const { type, title: _, ...rest } = schema as { type?: string; title?: string };
  return Type.Unsafe<Static<T> | null>({ ...rest, type: [type, "null"] });
}

function oneOf<const T extends readonly string[]>(values: T, options: Record<string, unknown> = {}) {
  return Type.Unsafe<T[number]>({ type: "string", enum: [...values], ...options });
}

function orNull<const T extends readonly string[]>(values: T, options: Record<string, unknown> = {}) {
  return Type.Unsafe<T[number] | null>({ type: ["string", "null"], enum: [...values, null], ...options });
}

function mapOf(value: Record<string, unknown>, options: Record<string, unknown> = {}) {
  return Type.Unsafe<Record<string, string>>({ type: "object", additionalProperties: value, ...options });
}

export const UserId = Type.String({
  pattern: "^[A-Za-z0-9_-]{1,64}$",
  description: "The tenant. Left out, it is the API key's user, or `default` for an admin key.",
  examples: ["acme"],
});
export const UserIdOrAll = Type.String({
  pattern: "^(\\*|[A-Za-z0-9_-]{1,64})$",
  description: "The tenant; `*`, by an admin key, is a broadcast to every user.",
  examples: ["acme"],
});
export const EventId = Type.String({
  pattern: "^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$",
  description: "The name of what happened. `hookd.` is reserved for hookd's own events.",
  examples: ["user.created"],
});
export const EventPattern = Type.String({
  pattern: "^(\\*|[A-Za-z0-9][A-Za-z0-9_.-]{0,127}(\\.\\*)?)$",
  description: "An event's name, or a pattern: `order.*`, `*`.",
  examples: ["user.created"],
});
export const EventUid = Type.String({
  pattern: "^[A-Za-z0-9_-]{1,64}$",
  description: "The identity of one event: dedupe key, and the `webhook-id` header that receivers see.",
  examples: ["evt_01kb8zs5xjf7crc7a9vpz4h3tn"],
});
const Duration = Type.String({
  minLength: 2,
  maxLength: 32,
  description: "A number and a unit: ms, s, m, h or d.",
  examples: ["15s"],
});
const Time = Type.String({
  format: "date-time",
  description: "RFC 3339, UTC.",
  examples: ["2026-11-22T08:30:00.000Z"],
});
const TimeOrAge = Type.String({
  minLength: 2,
  maxLength: 40,
  description: "A time (RFC 3339), or an age: `2h` is two hours ago.",
  examples: ["2h"],
});
const id = (prefix: string, what: string) =>
  Type.String({ description: `The id of ${what}.`, examples: [`${prefix}_01kb8zs5xjf7crc7a9vpz4h3tn`] });
export const WebhookIdText = id("wh", "a webhook");
export const DeliveryIdText = id("dlv", "a delivery");
export const JobIdText = id("job", "a job");
export const KeyIdText = id("key", "an API key");

const Cursor = Type.String({ maxLength: 100, description: "`next_cursor` of the page before." });
const Limit = Type.Integer({ minimum: 1, maximum: 200, default: 50, description: "Items of a page." });
export const paging = { limit: Type.Optional(Limit), cursor: Type.Optional(Cursor) };
const NextCursor = nullable(Type.String({ description: "Asks for the next page; null on the last one." }));

/** `{ data, next_cursor }` */
export function listOf<T extends TSchema>(item: T, title: string) {
  return Type.Object({ data: Type.Array(item), next_cursor: NextCursor }, { ...closed, title });
}

export const Problem = Type.Object(
  {
    type: Type.String({ examples: ["urn:hookd:problem:not_found"] }),
    title: Type.String(),
    status: Type.Integer(),
    code: oneOf(Object.keys(PROBLEMS), { description: "Stable; docs/ERRORS.md lists them." }),
    detail: Type.String({ description: "What is wrong, with which value, and what to do." }),
    retryable: Type.Boolean({ description: "Whether the same call may succeed later." }),
    request_id: Type.String(),
    field: Type.Optional(Type.String({ description: "The field that is at fault, as a path." })),
  },
  {
    title: "Problem",
    description: "RFC 9457. More members may follow from the code.",
    additionalProperties: true,
  },
);

const RateLimit = Type.Object(
  {
    per_second: Type.Number({ exclusiveMinimum: 0, maximum: 100_000, description: "Attempts per second." }),
    burst: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000_000,
        description: "At once; default: per_second, rounded up.",
      }),
    ),
  },
  { ...closed, title: "RateLimit" },
);

const Retry = Type.Object(
  {
    schedule: Type.Optional(
      Type.Array(Duration, {
        maxItems: 50,
        description: "Delays between attempts: n delays make n + 1 attempts.",
      }),
    ),
    base: Type.Optional(Duration),
    factor: Type.Optional(Type.Number({ minimum: 1, maximum: 100 })),
    max: Type.Optional(Duration),
    attempts: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 100, description: "The first one included." }),
    ),
    permanent: Type.Optional(
      Type.Array(Type.String({ maxLength: 16, examples: ["4xx", "!408", "400-404"] }), {
        maxItems: 50,
        description: "Statuses that end a delivery at once; later entries win.",
      }),
    ),
  },
  {
    ...closed,
    title: "Retry",
    description:
      "Either `schedule`, or `base` and `attempts`, with `factor` (2) and `max` (30d): min(base * factor^k, max).",
    examples: [{ schedule: ["1s", "5s", "30s"] }, { base: "1m", factor: 2, max: "1h", attempts: 5 }],
  },
);

const Ordering = oneOf(["none", "fifo"], { description: "`fifo`: in the order accepted, one in flight." });
const CallbackUrl = Type.String({ minLength: 1, maxLength: 2_048, examples: ["https://example.com/hooks"] });
const Description = Type.String({ maxLength: 1_024 });
const Metadata = mapOf(
  { type: "string", maxLength: 1_024 },
  {
    maxProperties: 50,
    description: "Your own names and values; hookd does not look at them.",
    examples: [{ team: "billing" }],
  },
);
const Headers = mapOf(
  { type: "string", maxLength: 4_096 },
  {
    maxProperties: 20,
    description: "Sent with every request of the webhook.",
    examples: [{ "x-tenant": "acme" }],
  },
);
const Timeout = Type.String({
  ...Duration,
  description: "Of one attempt, 100ms to 30s. Default: `delivery.timeout`.",
});
const ConcurrencyMax = Type.Integer({
  minimum: 1,
  maximum: 1_024,
  description: "Attempts in flight at most.",
});
const Secret = Type.String({
  maxLength: 100,
  description: "`whsec_` and the base64 of 24-64 bytes.",
  examples: ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
});

export const WebhookCreate = Type.Object(
  {
    event_id: EventPattern,
    callback_url: CallbackUrl,
    user_id: Type.Optional(UserId),
    secret: Type.Optional(Secret),
    headers: Type.Optional(Headers),
    description: Type.Optional(nullable(Description)),
    metadata: Type.Optional(Metadata),
    is_active: Type.Optional(Type.Boolean()),
    rate_limit: Type.Optional(nullable(RateLimit)),
    concurrency_max: Type.Optional(nullable(ConcurrencyMax)),
    timeout: Type.Optional(nullable(Timeout)),
    retry: Type.Optional(nullable(Retry)),
    ordering: Type.Optional(Ordering),
  },
  {
    ...closed,
    title: "WebhookCreate",
    examples: [{ event_id: "user.created", callback_url: "https://example.com/hooks" }],
  },
);
export type WebhookCreate = Static<typeof WebhookCreate>;

export const WebhookChange = Type.Object(
  {
    event_id: Type.Optional(EventPattern),
    callback_url: Type.Optional(CallbackUrl),
    headers: Type.Optional(
      Type.Unsafe<Record<string, string>>({
        ...Headers,
        description: "Replaces them all. A value of `***`, as answers show it, keeps the one that is there.",
      }),
    ),
    description: Type.Optional(nullable(Description)),
    metadata: Type.Optional(Metadata),
    is_active: Type.Optional(Type.Boolean()),
    rate_limit: Type.Optional(nullable(RateLimit)),
    concurrency_max: Type.Optional(nullable(ConcurrencyMax)),
    timeout: Type.Optional(nullable(Timeout)),
    retry: Type.Optional(nullable(Retry)),
    ordering: Type.Optional(Ordering),
  },
  { ...closed, title: "WebhookChange", minProperties: 1, examples: [{ timeout: "10s" }] },
);
export type WebhookChange = Static<typeof WebhookChange>;

const Live = Type.Object(
  {
    breaker: oneOf(["closed", "open"]),
    in_flight: Type.Integer(),
    backlog: Type.Integer({ description: "Open deliveries." }),
    oldest_due_at: nullable(Time),
    concurrency: Type.Number({ description: "Attempts that may be in flight now." }),
    parked_until: nullable(Time),
    success_rate: nullable(
      Type.Number({ description: "0 to 1, of the last 5 minutes; null without attempts." }),
    ),
    p50_ms: nullable(Type.Number()),
    p99_ms: nullable(Type.Number()),
    last_error: nullable(Type.Object({ at: Time, error: Type.String() }, closed)),
  },
  { ...closed, title: "Live", description: "What the webhook's lane is doing." },
);

export const Webhook = Type.Object(
  {
    id: WebhookIdText,
    user_id: UserId,
    event_id: EventPattern,
    callback_url: Type.String(),
    description: nullable(Type.String()),
    metadata: mapOf({ type: "string" }),
    headers: mapOf(
      { type: "string" },
      { description: "Values are masked.", examples: [{ "x-tenant": "***" }] },
    ),
    is_active: Type.Boolean(),
    disabled_reason: orNull(["user", "gone", "failing"]),
    is_paused: Type.Boolean(),
    rate_limit: nullable(RateLimit),
    concurrency_max: nullable(Type.Integer()),
    timeout: nullable(Type.String()),
    retry: nullable(Retry),
    ordering: Ordering,
    created_at: Time,
    updated_at: Time,
    live: Type.Optional(Live),
    secret: Type.Optional(Type.String({ description: "Only when it was made by this call." })),
  },
  { ...closed, title: "Webhook", description: "Null in a limit: the configured default." },
);
export const WebhookList = listOf(Webhook, "WebhookList");

export const Secrets = Type.Object(
  {
    webhook_id: WebhookIdText,
    secret: Type.String({ description: "The newest, with which events are signed." }),
    secrets: Type.Array(Type.Object({ secret: Type.String(), expires_at: nullable(Time) }, closed), {
      description: "All that sign now, newest first; the older ones until they expire.",
    }),
  },
  { ...closed, title: "WebhookSecrets" },
);

export const RotateSecret = Type.Object(
  {
    secret: Type.Optional(Secret),
    overlap: Type.Optional(
      Type.String({
        ...Duration,
        description: "How long the old secret signs too. Default 24h.",
        examples: ["24h"],
      }),
    ),
  },
  { ...closed, title: "RotateSecret", examples: [{ overlap: "24h" }] },
);

export const EnableWebhook = Type.Object(
  { replay: Type.Optional(Type.Boolean({ description: "Also replay what ended as disabled." })) },
  { ...closed, title: "EnableWebhook", examples: [{ replay: true }] },
);

export const Attempt = Type.Object(
  {
    number: Type.Integer(),
    started_at: Time,
    duration_ms: Type.Number(),
    verdict: oneOf(VERDICTS),
    status_code: nullable(Type.Integer()),
    error: orNull(ATTEMPT_ERRORS),
    response_excerpt: nullable(
      Type.String({
        description: "Begin of the response body. Untrusted text, with what is no UTF-8 replaced.",
      }),
    ),
  },
  { ...closed, title: "Attempt" },
);

const deliveryFields = {
  id: DeliveryIdText,
  event_uid: EventUid,
  event_id: EventId,
  user_id: UserId,
  webhook_id: WebhookIdText,
  status: oneOf(STATUSES),
  reason: orNull(DEAD_REASONS),
  attempt_count: Type.Integer(),
  next_retry_at: nullable(Time),
  is_leased: Type.Boolean({ description: "An attempt is being made." }),
  response_code: nullable(Type.Integer()),
  error: orNull(ATTEMPT_ERRORS),
  duration_ms: nullable(Type.Number()),
  created_at: Time,
  completed_at: nullable(Time),
};
export const Delivery = Type.Object(deliveryFields, { ...closed, title: "Delivery" });
export const DeliveryList = listOf(Delivery, "DeliveryList");
export const DeliveryWithAttempts = Type.Object(
  { ...deliveryFields, attempts: Type.Array(Attempt) },
  { ...closed, title: "DeliveryWithAttempts" },
);

export const EventPublish = Type.Object(
  {
    event_id: EventId,
    payload: Type.Unsafe<unknown>({
      description: "Any JSON value. Its bytes reach the receiver exactly as sent.",
    }),
    event_uid: Type.Optional(EventUid),
    user_id: Type.Optional(UserIdOrAll),
  },
  { ...closed, title: "EventPublish", examples: [{ event_id: "user.created", payload: { id: 1 } }] },
);
export const EventBatch = Type.Array(EventPublish, {
  title: "EventBatch",
  maxItems: 1_000,
  examples: [[{ event_id: "user.created", payload: { id: 1 } }]],
});

const acceptedFields = {
  event_uid: nullable(
    Type.String({ description: "Null where no webhook matched and no uid was given: nothing was stored." }),
  ),
  delivery_count: Type.Integer(),
  deliveries: Type.Array(Type.Object({ id: DeliveryIdText, webhook_id: WebhookIdText }, closed), {
    description: "The first 100.",
  }),
  duplicate: Type.Boolean({ description: "The event was published before, with the same content." }),
  fan_out: Type.Optional(Type.String({ description: "The job that makes a large broadcast's deliveries." })),
};
export const Accepted = Type.Object(acceptedFields, { ...closed, title: "Accepted" });
export const BatchAnswer = Type.Object(
  {
    results: Type.Array(
      Type.Object(
        {
          index: Type.Integer({ description: "The event's place in the batch, from 0." }),
          accepted: Type.Optional(Accepted),
          error: Type.Optional(Problem),
        },
        closed,
      ),
      { description: "One per event, in order: `accepted` or `error`." },
    ),
  },
  { ...closed, title: "BatchAnswer" },
);

export const Event = Type.Object(
  {
    event_uid: EventUid,
    event_id: EventId,
    user_id: Type.String({ description: "The tenant; `*` for a broadcast." }),
    content_type: Type.String(),
    payload: Type.Unsafe<unknown>({ description: "The JSON as it was published, or base64 text." }),
    payload_encoding: oneOf(["json", "base64"]),
    created_at: Time,
    delivery_count: Type.Integer(),
    deliveries: Type.Array(Delivery, { description: "The first 100." }),
  },
  { ...closed, title: "Event" },
);

const StatusFilter = oneOf([...STATUSES, "failed"], { description: "`failed`: retrying or dead." });
const Reason = oneOf(DEAD_REASONS);
export const deliveryFilter = {
  status: Type.Optional(StatusFilter),
  webhook_id: Type.Optional(WebhookIdText),
  event_id: Type.Optional(EventId),
  user_id: Type.Optional(UserId),
  reason: Type.Optional(Reason),
  since: Type.Optional(TimeOrAge),
  until: Type.Optional(TimeOrAge),
};
export type DeliveryFilterQuery = Partial<Static<ReturnType<typeof deliveryQuery>>>;
export const deliveryQuery = () => Type.Object({ ...deliveryFilter, ...paging }, closed);

const { status: _status, ...deadFilter } = deliveryFilter;
export const DlqQuery = Type.Object(
  {
    ...deadFilter,
    ...paging,
    group: Type.Optional(
      Type.String({
        pattern: "^(webhook|reason|event|user)(,(webhook|reason|event|user))*$",
        description: "Counts instead of deliveries, per webhook, reason, event or user.",
        examples: ["webhook,reason"],
      }),
    ),
  },
  closed,
);
export const DlqGroup = Type.Object(
  {
    webhook_id: Type.Optional(WebhookIdText),
    reason: Type.Optional(Reason),
    event_id: Type.Optional(EventId),
    user_id: Type.Optional(UserId),
    count: Type.Integer(),
  },
  { ...closed, title: "DlqGroup" },
);
export const DlqAnswer = Type.Object(
  { data: Type.Array(Type.Union([Delivery, DlqGroup])), next_cursor: NextCursor },
  { ...closed, title: "DlqAnswer", description: "Deliveries, or groups where `group` was given." },
);

const selection = {
  ...deadFilter,
  ids: Type.Optional(Type.Array(DeliveryIdText, { minItems: 1, maxItems: 1_000 })),
  all: Type.Optional(
    Type.Boolean({ description: "No filter: all of the user's, or of everyone's by an admin key." }),
  ),
  dry_run: Type.Optional(Type.Boolean({ description: "Only count." })),
};
const Rate = Type.Number({
  exclusiveMinimum: 0,
  maximum: 100_000,
  description: "Deliveries made due per second.",
});
const selectionExample = { examples: [{ event_id: "invoice.paid", since: "2h" }] };
export const DlqReplay = Type.Object(
  { ...selection, rate: Type.Optional(Rate) },
  { ...closed, title: "DlqReplay", ...selectionExample },
);
export const DlqPurge = Type.Object(selection, { ...closed, title: "DlqPurge", ...selectionExample });
export const DeliveriesReplay = Type.Object(
  {
    ...selection,
    rate: Type.Optional(Rate),
    status: Type.Optional(oneOf(["success", "dead"], { description: "Default: both." })),
  },
  { ...closed, title: "DeliveriesReplay", ...selectionExample },
);
export type SelectionBody = Static<typeof DeliveriesReplay>;
export const JobStarted = Type.Object({ job_id: JobIdText }, { ...closed, title: "JobStarted" });
export const DryRun = Type.Object(
  {
    dry_run: Type.Literal(true),
    count: Type.Integer(),
    is_exact: Type.Boolean({ description: "False: at least that many." }),
  },
  { ...closed, title: "DryRun" },
);

export const Job = Type.Object(
  {
    id: JobIdText,
    kind: oneOf(["replay", "purge", "end", "expand"]),
    status: oneOf(["running", "done", "cancelled"]),
    total: nullable(Type.Integer()),
    done: Type.Integer(),
    created_at: Time,
    completed_at: nullable(Time),
  },
  { ...closed, title: "Job" },
);
export const JobList = listOf(Job, "JobList");

const Scope = oneOf(SCOPES);
export const KeyCreate = Type.Object(
  {
    user_id: Type.Optional(UserId),
    scopes: Type.Optional(Type.Array(Scope, { minItems: 1, maxItems: 3, uniqueItems: true })),
    name: Type.Optional(nullable(Type.String({ maxLength: 128 }))),
    expires_at: Type.Optional(nullable(Time)),
    is_admin: Type.Optional(
      Type.Boolean({
        description:
          "A key for every user, with every scope. Made by admin keys, without user_id and scopes.",
      }),
    ),
  },
  {
    ...closed,
    title: "KeyCreate",
    examples: [{ user_id: "acme", scopes: ["publish"], name: "shop backend" }],
  },
);
const keyFields = {
  id: KeyIdText,
  user_id: nullable(Type.String({ description: "Null: an admin key." })),
  is_admin: Type.Boolean(),
  scopes: Type.Array(Scope),
  name: nullable(Type.String()),
  created_at: Time,
  expires_at: nullable(Time),
};
export const Key = Type.Object(keyFields, { ...closed, title: "Key" });
export const KeyCreated = Type.Object(
  { ...keyFields, key: Type.String({ description: "Shown this once." }) },
  { ...closed, title: "KeyCreated" },
);
export const KeyList = listOf(Key, "KeyList");

export const StreamQuery = Type.Object(
  {
    status: Type.Optional(StatusFilter),
    webhook_id: Type.Optional(WebhookIdText),
    event_id: Type.Optional(EventId),
    user_id: Type.Optional(UserId),
  },
  closed,
);
export const Health = Type.Object(
  { status: Type.Literal("ok"), version: Type.String() },
  { ...closed, title: "Health" },
);
export const Ready = Type.Object({ status: Type.Literal("ready") }, { ...closed, title: "Ready" });
export const EventStream = Type.String({
  description:
    "`event: attempt` with a SettledAttempt as its data; `event: skipped` with how many a slow client missed.",
});
export const Metrics = Type.String({ description: "Prometheus text format." });
export const OpenApi = Type.Unsafe<Record<string, unknown>>({
  type: "object",
  description: "This document.",
});
