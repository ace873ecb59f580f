import { expect, test } from "vitest";
import { nextOf } from "../../src/tui/why.ts";
import { deliveryBody, NOW, webhookBody } from "./bodies.ts";

const later = "2026-11-22T12:00:05.000Z";
const due = "2026-11-22T11:59:30.000Z";

test.each([
  [
    "a retry that waits for its time",
    {},
    webhookBody(),
    "Next attempt in 5s. Attempt 1 came to 503, which may pass.",
  ],
  [
    "one that is due behind an open breaker",
    { next_retry_at: due },
    webhookBody({}, { breaker: "open", parked_until: "2026-11-22T12:00:20.000Z" }),
    "Due for 30s. Its webhook's breaker is open: probes only, the next in 20s.",
  ],
  [
    "one that is due while its lane is held",
    { next_retry_at: due },
    webhookBody({}, { parked_until: "2026-11-22T12:01:40.000Z" }),
    "Due for 30s. Its webhook is held, by rate limit or Retry-After: goes on in 1m.",
  ],
  [
    "one of a paused webhook",
    { next_retry_at: due },
    webhookBody({ is_paused: true }),
    "is paused: it waits until",
  ],
  ["one that waits for a slot", { next_retry_at: due }, webhookBody(), "Due for 30s. Waiting for a slot."],
  ["one under way", { is_leased: true }, null, "An attempt is under way."],
  [
    "one that was never tried",
    { status: "pending", attempt_count: 0, next_retry_at: later } as const,
    null,
    "Next attempt in 5s. It was not tried yet.",
  ],
  [
    "a dead one",
    { status: "dead", reason: "exhausted", next_retry_at: null } as const,
    null,
    "Dead, exhausted. All attempts of its schedule are used. r replays it",
  ],
  [
    "a delivered one",
    { status: "success", next_retry_at: null } as const,
    null,
    "Delivered. Nothing more is sent.",
  ],
])("%s says what comes next and why", (_, fields, webhook, expected) => {
  expect(nextOf(deliveryBody(fields), webhook, NOW)).toContain(expected);
});
