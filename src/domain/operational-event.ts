/**
 * What hookd itself publishes, to an operator's webhooks (domain/names.ts says whose those are). Payloads:
 * api/operational-schemas.ts.
 */
export const OPERATIONAL_EVENTS = [
  "hookd.webhook.disabled",
  "hookd.webhook.recovered",
  "hookd.delivery.dead",
  "hookd.queue.behind",
  "hookd.disk.low",
] as const;
export type OperationalEventId = (typeof OPERATIONAL_EVENTS)[number];

/** What deliveries wait for that are due, in a lane that nothing holds back: a slot, or their own receiver's answers. */
export const WAITS = ["slots", "receivers"] as const;
export type WaitsFor = (typeof WAITS)[number];
