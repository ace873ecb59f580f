import { type TSchema, Type } from "typebox";
import { ATTEMPT_ERRORS, DEAD_REASONS } from "../domain/delivery.ts";
import { type OperationalEventId, WAITS } from "../domain/operational-event.ts";
import { closed, DeliveryIdText, nullable, oneOf, orNull, Time, WebhookIdText } from "./schemas.ts";

/** hookd's own events, as an operator's webhook gets them: bodies of requests that hookd makes. */
const NamedWebhook = Type.Object(
  {
    id: WebhookIdText,
    user_id: Type.String({ description: "Whose it is." }),
    event_id: Type.String({ description: "The event, or pattern, that it is registered for." }),
    host: Type.String({ description: "Of its callback URL." }),
  },
  closed,
);

const DISABLED_REASONS = ["user", "gone", "failing"] as const;

const Disabled = Type.Object(
  {
    webhook: NamedWebhook,
    reason: oneOf(DISABLED_REASONS, {
      description: "`gone`: its receiver answered 410. `failing`: nothing but failure. `user`: somebody did.",
    }),
    failing_since: nullable(Time),
    open_deliveries: Type.Integer({
      description: "Open at that moment: they end as dead/disabled, but for one in flight that succeeds.",
    }),
  },
  closed,
);

const Recovered = Type.Object(
  {
    webhook: NamedWebhook,
    reason: oneOf(["success", "enabled"], {
      description:
        "`success`: the first one since its breaker opened, `events.recovered_after` ago or longer. `enabled`: it was switched on.",
    }),
    broken_since: nullable({ ...Time, description: "When its breaker opened." }),
    disabled_reason: orNull(DISABLED_REASONS, { description: "Why it was off." }),
  },
  closed,
);

const Dead = Type.Object(
  {
    webhook: nullable({ ...NamedWebhook, description: "Null: of several that were counted together." }),
    reason: oneOf(DEAD_REASONS),
    count: Type.Integer({
      minimum: 1,
      description:
        "Deliveries of this webhook that died for this reason since the event before: the sum over all events is their number.",
    }),
    since: Time,
    delivery: nullable({
      ...Type.Object(
        {
          id: DeliveryIdText,
          event_id: Type.String(),
          event_uid: Type.String(),
          attempts: Type.Integer(),
          status_code: nullable(Type.Integer()),
          error: orNull(ATTEMPT_ERRORS),
        },
        closed,
      ),
      description: "One of them. Null where they ended many at a time.",
    }),
  },
  closed,
);

const Behind = Type.Object(
  {
    is_behind: Type.Boolean({ description: "False: it has caught up." }),
    waiting_for: oneOf(WAITS, {
      description:
        "`slots`: hookd sends as much as it may. `receivers`: these webhooks have as many attempts in flight as they may.",
    }),
    since: Time,
    waiting_seconds: Type.Integer({
      description: "How long the longest has waited, its lane not held back.",
    }),
    oldest_due_at: nullable(Time),
    webhook: nullable({ ...NamedWebhook, description: "Whose delivery that is." }),
    webhooks_behind: Type.Integer({ description: "Webhooks with deliveries that wait too long." }),
  },
  closed,
);

const DiskLow = Type.Object(
  {
    is_low: Type.Boolean({ description: "False: there is enough again." }),
    since: Time,
    free_bytes: Type.Integer(),
    low_bytes: Type.Integer({ description: "`events.disk_low`." }),
    refuse_bytes: Type.Integer({
      description: "`limits.disk_free`: with less than this, events are refused.",
    }),
  },
  closed,
);

interface OperationalSchema {
  readonly operationId: string;
  readonly summary: string;
  readonly schema: TSchema;
}

export const OPERATIONAL_SCHEMAS: Readonly<Record<OperationalEventId, OperationalSchema>> = {
  "hookd.webhook.disabled": {
    operationId: "onWebhookDisabled",
    summary: "A webhook was switched off",
    schema: bodyOf("hookd.webhook.disabled", Disabled, "WebhookDisabledEvent"),
  },
  "hookd.webhook.recovered": {
    operationId: "onWebhookRecovered",
    summary: "A webhook takes deliveries again",
    schema: bodyOf("hookd.webhook.recovered", Recovered, "WebhookRecoveredEvent"),
  },
  "hookd.delivery.dead": {
    operationId: "onDeliveryDead",
    summary: "Deliveries ended without success: a sample, with a count",
    schema: bodyOf("hookd.delivery.dead", Dead, "DeliveryDeadEvent"),
  },
  "hookd.queue.behind": {
    operationId: "onQueueBehind",
    summary: "Deliveries that nothing holds back wait for long, or no longer do",
    schema: bodyOf("hookd.queue.behind", Behind, "QueueBehindEvent"),
  },
  "hookd.disk.low": {
    operationId: "onDiskLow",
    summary: "The disk is getting full, or has room again",
    schema: bodyOf("hookd.disk.low", DiskLow, "DiskLowEvent"),
  },
};

function bodyOf(type: OperationalEventId, data: TSchema, title: string): TSchema {
  return Type.Object({ type: oneOf([type]), timestamp: Time, data }, { ...closed, title });
}
