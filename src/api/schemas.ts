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

export function oneOf<const T extends readonly string[]>(values: T, options: Record<string, unknown> = {}) {
  return Type.Unsafe<T[number]>({ type: "string", enum: [...values], ...options });
}

export function orNull<const T extends readonly string[]>(values: T, options: Record<string, unknown> = {}) {
  return Type.Unsafe<T[number] | null>({ type: ["string", "null"], enum: [...values, null], ...options });
}

export function mapOf(value: Record<string, unknown>, options: Record<string, unknown> = {}) {
  return Type.Unsafe<Record<string, string>>({ type: "object", additionalProperties: value, ...options });
}

const NAME = "^[A-Za-z0-9_-]{1,64}$";
const NAME_OR_OPERATOR = "^([A-Za-z0-9_-]{1,64}|hookd\\.operator)$";
const NAME_OR_ALL = "^(\\*|[A-Za-z0-9_-]{1,64})$";
const NAME_OR_ANY = "^(\\*|[A-Za-z0-9_-]{1,64}|hookd\\.operator)$";
const EVENT_NAME = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$";
const EVENT_PATTERN = "^(\\*|[A-Za-z0-9][A-Za-z0-9_.-]{0,127}(\\.\\*)?)$";
const BACKUP_NAME = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$";
const GROUPS = "^(webhook|reason|event|user)(,(webhook|reason|event|user))*$";

/** What each pattern asks for, in words: an error that shows a regular expression helps few. */
export const PATTERN_WORDS: Readonly<Record<string, string>> = {
  [NAME]: "must be 1-64 letters, digits, _ or -",
  [NAME_OR_OPERATOR]: "must be 1-64 letters, digits, _ or -",
  [NAME_OR_ALL]: "must be 1-64 letters, digits, _ or -, or * for everyone",
  [NAME_OR_ANY]: "must be 1-64 letters, digits, _ or -, or * for broadcasts",
  [EVENT_NAME]: "must be 1-128 letters, digits, _ . or -, the first a letter or digit",
  [EVENT_PATTERN]:
    "must be 1-128 letters, digits, _ . or -, the first a letter or digit; or a pattern like order.* or *",
  [BACKUP_NAME]: "must be 1-64 letters, digits, _ . or -, the first a letter or digit",
  [GROUPS]: "must be some of webhook, reason, event, user, with commas",
};

const TENANT = "The tenant. Left out, it is the API key's user, or `default` for an admin key.";
export const UserId = Type.String({
  pattern: NAME,
  description: TENANT,
  examples: ["acme"],
});
export const OwnerId = Type.String({
  pattern: NAME_OR_OPERATOR,
  description: `${TENANT} \`hookd.operator\`: the operator, for hookd's own events.`,
  examples: ["acme"],
});
export const UserIdOrAll = Type.String({
  pattern: NAME_OR_ALL,
  description: "The tenant; `*`, by an admin key, is a broadcast to every user.",
  examples: ["acme"],
});
export const EventOwnerId = Type.String({
  pattern: NAME_OR_ANY,
  description: `${TENANT} \`hookd.operator\`: hookd's own events. \`*\`: a broadcast.`,
  examples: ["acme"],
});
export const EventId = Type.String({
  pattern: EVENT_NAME,
  description: "The name of what happened. `hookd.` is reserved for hookd's own events.",
  examples: ["user.created"],
});
export const EventPattern = Type.String({
  pattern: EVENT_PATTERN,
  description: "An event's name, or a pattern: `order.*`, `*`. `hookd.*` takes an admin key.",
  examples: ["user.created"],
});
export const EventUid = Type.String({
  pattern: NAME,
  description: "The identity of one event: dedupe key, and the `webhook-id` header that receivers see.",
  examples: ["evt_01kb8zs5xjf7crc7a9vpz4h3tn"],
});
export const Duration = Type.String({
  minLength: 2,
  maxLength: 32,
  description: "A number and a unit: ms, s, m, h or d.",
  examples: ["15s"],
});
export const Time = Type.String({
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
  user_id: OwnerId,
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
  user_id: Type.Optional(OwnerId),
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
        pattern: GROUPS,
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
    event_id: Type.Optional(
      Type.String({ ...EventPattern, description: "What the webhook is registered for: may be a pattern." }),
    ),
    user_id: Type.Optional(OwnerId),
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
/** About one a day. The wait between two must be a time that a timer and a date can hold. */
export const RATE_MIN = 0.00001;
const Rate = Type.Number({
  minimum: RATE_MIN,
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

export const BackupName = Type.String({
  pattern: BACKUP_NAME,
  description: "Its file in `backup.dir` is called so, with `.db`.",
  examples: ["before-upgrade"],
});
export const BackupCreate = Type.Object(
  { name: Type.Optional(BackupName) },
  { ...closed, title: "BackupCreate", examples: [{ name: "before-upgrade" }, {}] },
);
export const Backup = Type.Object(
  {
    name: BackupName,
    path: Type.String({ description: "On the machine that hookd runs on." }),
    state: oneOf(["running", "done", "failed"]),
    bytes: Type.Integer({ description: "So far." }),
    progress: Type.Number({ description: "From 0 to 1; goes back where the database grows faster." }),
    created_at: Time,
    completed_at: nullable(Time),
    error: nullable(Type.String({ description: "Why it failed; nothing of it is left." })),
  },
  { ...closed, title: "Backup" },
);
export const BackupList = Type.Object({ data: Type.Array(Backup) }, { ...closed, title: "BackupList" });

const pauseFields = {
  reason: oneOf(["operator", "restored"], {
    description:
      "`restored`: the database is from a backup, and the hookd that it is a copy of may still run.",
  }),
  since: Time,
};
export const Pause = Type.Object(pauseFields, { ...closed, title: "Pause" });
const PauseOrNull = Type.Unsafe<Static<typeof Pause> | null>({
  ...Type.Object(pauseFields, closed),
  type: ["object", "null"],
  description: "Why events are taken and nothing is sent; null while deliveries go out.",
});
export const Resumed = Type.Object({ was_paused: PauseOrNull }, { ...closed, title: "Resumed" });

export const StreamQuery = Type.Object(
  {
    status: Type.Optional(StatusFilter),
    webhook_id: Type.Optional(WebhookIdText),
    event_id: Type.Optional(EventId),
    user_id: Type.Optional(OwnerId),
    rows_per_second: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 10_000,
        default: 1_000,
        description: "Of more attempts than this, so many are drawn at random; the others count as skipped.",
      }),
    ),
  },
  closed,
);
export const Health = Type.Object(
  { status: Type.Literal("ok"), version: Type.String() },
  { ...closed, title: "Health" },
);
export const Ready = Type.Object(
  { status: Type.Literal("ready"), paused: PauseOrNull },
  { ...closed, title: "Ready" },
);
export const EventStream = Type.String({
  description:
    "`event: attempt` with a SettledAttempt as its data; `event: skipped` with how many were left out (a sample, a slow " +
    "client); each second `event: counts` with `attempts`, and how many deliveries they left as `success`, `retrying` or `dead`.",
});
export const Metrics = Type.String({ description: "Prometheus text format." });
export const OpenApi = Type.Unsafe<Record<string, unknown>>({
  type: "object",
  description: "This document.",
});
