import { type Static, Type } from "typebox";
import {
  closed,
  Duration,
  EventPattern,
  listOf,
  mapOf,
  nullable,
  OwnerId,
  oneOf,
  orNull,
  RATE_MIN,
  Time,
  WebhookIdText,
} from "./schemas.ts";

/** Schemas of webhooks: what registers and changes one, and how it is answered. */
const RateLimit = Type.Object(
  {
    per_second: Type.Number({ minimum: RATE_MIN, maximum: 100_000, description: "Attempts per second." }),
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
    user_id: Type.Optional(OwnerId),
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
    user_id: OwnerId,
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
