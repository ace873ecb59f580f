import { describe, expect, it } from "vitest";
import { ATTEMPT_ERRORS, DEAD_REASONS, STATUSES, VERDICTS } from "../../src/domain/delivery.ts";
import { explain } from "../../src/explain/explanation.ts";
import type { AttemptBody, DeliveryBody, PauseBody, WebhookBody } from "../../src/http-api.ts";
import { attemptBody, deliveryBody, webhookBody } from "../support/api-bodies.ts";

const NOW = Date.parse("2026-11-22T08:00:00.000Z");
const ago = (seconds: number) => new Date(NOW - seconds * 1000).toISOString();

type Live = Partial<NonNullable<WebhookBody["live"]>>;

function webhookOf(change: Partial<WebhookBody> = {}, live: Live = {}): WebhookBody {
  return webhookBody(
    { id: "wh_1", callback_url: "https://example.com/hooks", ...change },
    { backlog: 1, ...live },
  );
}

function attemptOf(change: Partial<AttemptBody> = {}): AttemptBody {
  return attemptBody({ started_at: ago(61), duration_ms: 1_000, status_code: 500, ...change });
}

/** One that was never tried and has been due for a minute, unless told otherwise. */
function deliveryOf(change: Partial<DeliveryBody> = {}): DeliveryBody {
  const attempts = change.attempts ?? [];
  return deliveryBody({
    id: "dlv_1",
    event_id: "user.created",
    webhook_id: "wh_1",
    status: "pending",
    attempt_count: attempts.length,
    next_retry_at: ago(60),
    response_code: attempts.at(-1)?.status_code ?? null,
    error: attempts.at(-1)?.error ?? null,
    created_at: ago(3_600),
    attempts,
    ...change,
  });
}

const RETRYING = { status: "retrying", next_retry_at: ago(-240), attempts: [attemptOf()] } as const;

function dead(reason: string, attempts: readonly AttemptBody[] = [attemptOf()]): DeliveryBody {
  return deliveryOf({ status: "dead", reason, attempts, next_retry_at: null, completed_at: ago(60) });
}

function told(delivery: DeliveryBody, webhook: WebhookBody | null, pause: PauseBody | null = null) {
  return explain(delivery, webhook, pause, NOW);
}

function commandsOf(delivery: DeliveryBody, webhook: WebhookBody | null): (string | null)[] {
  return told(delivery, webhook)
    .fixes.map(({ command }) => command)
    .filter((command) => command !== null);
}

const allText = (delivery: DeliveryBody, webhook: WebhookBody | null = webhookOf()) => {
  const { headline, happened, why, next, fixes } = told(delivery, webhook);
  return [headline, ...happened, ...why, ...next.text, ...fixes.map(({ text }) => text)].join("\n");
};

describe("an explanation", () => {
  it("has words of its own for every status, reason, error and verdict there is", () => {
    const headlines = STATUSES.map((status) => told(deliveryOf({ status }), webhookOf()).headline);
    expect(new Set(headlines).size).toBe(STATUSES.length);

    const reasons = DEAD_REASONS.map((reason) => told(dead(reason), webhookOf()));
    expect(new Set(reasons.map(({ why }) => why[0])).size).toBe(DEAD_REASONS.length);
    for (const { why, fixes } of reasons) {
      expect(why[0]).not.toContain("It died:");
      // What to do about it, and not only the command that sends it again.
      expect(fixes.filter(({ command }) => command === null).length).toBeGreaterThan(0);
    }

    const errors = ATTEMPT_ERRORS.map((error) =>
      told(deliveryOf({ ...RETRYING, attempts: [attemptOf({ error, status_code: null })] }), webhookOf()),
    );
    expect(new Set(errors.map(({ why }) => why[0])).size).toBe(ATTEMPT_ERRORS.length);
    for (const { why } of errors) expect(why[0]).not.toContain("It failed:");
    const mended = errors.filter(({ fixes }) => fixes.some(({ command }) => command === null));
    // After an attempt that hookd lost there is nothing to mend.
    expect(mended).toHaveLength(ATTEMPT_ERRORS.length - 1);

    const verdicts = VERDICTS.map((verdict) =>
      allText(dead("permanent", [attemptOf({ verdict, status_code: null })])),
    );
    expect(new Set(verdicts).size).toBe(VERDICTS.length);
  });

  it.each([
    [204, "took it"],
    [302, "redirect"],
    [400, "did not understand"],
    [401, "signature"],
    [403, "firewall"],
    [404, "nothing at that path"],
    [405, "POST"],
    [408, "gave up waiting"],
    [410, "gone for good"],
    [413, "larger than the receiver takes"],
    [415, "content type"],
    [418, "refused the request"],
    [429, "more requests than it wants"],
    [500, "failed (500)"],
    [503, "not available"],
    [700, "HTTP does not have"],
  ])("tells what an answer of %i means, and what to do", (status_code, words) => {
    const { why, fixes } = told(dead("exhausted", [attemptOf({ status_code })]), webhookOf());
    expect(why[1]).toContain(words);
    expect(why[1]).toContain(String(status_code));
    if (status_code !== 204) expect(fixes[0]?.text).not.toBe("");
    expect(fixes.map(({ text }) => text).join()).not.toContain("<id>");
  });

  it("gives times both ways, and every attempt with what the receiver said", () => {
    const attempts = [
      attemptOf({ response_excerpt: "first\u001b[2J" }),
      attemptOf({ number: 2, started_at: ago(30), status_code: null, error: "timeout" }),
    ];
    const { happened } = told(deliveryOf({ ...RETRYING, attempts }), webhookOf());
    expect(happened[0]).toContain("accepted 1h ago (2026-11-22T07:00:00.000Z)");
    expect(happened[0]).toContain("https://example.com/hooks");
    expect(happened[1]).toBe(
      "Attempt 1, 1m ago (2026-11-22T07:58:59.000Z): 500 after 1.0 s; the receiver said: first\u001b[2J",
    );
    expect(happened[2]).toContain("Attempt 2, 30s ago (2026-11-22T07:59:30.000Z): timeout after 1.0 s.");
  });

  it("tells the last ten of many attempts, and where the others are", () => {
    const attempts = Array.from({ length: 25 }, (_, index) => attemptOf({ number: index + 1 }));
    const { happened } = told(deliveryOf({ ...RETRYING, attempts }), webhookOf());
    expect(happened[1]).toBe("15 earlier attempts: hookd deliveries get dlv_1");
    expect(happened[2]).toContain("Attempt 16,");
    expect(happened).toHaveLength(12);
  });
});

describe("what comes next", () => {
  it("is the next attempt, when, and why then", () => {
    const { next, fixes } = told(deliveryOf(RETRYING), webhookOf());
    expect(next).toMatchObject({ kind: "scheduled", at: ago(-240), held_by: [] });
    expect(next.text[0]).toContain("due in 4m (2026-11-22T08:04:00.000Z)");
    expect(next.text[0]).toContain("5m after attempt 1 ended: the delay of the configured schedule");
    expect(fixes.at(-1)?.command).toBe("hookd deliveries retry dlv_1 --wait");

    const own = webhookOf({ retry: { schedule: ["1s", "5m"], permanent: ["4xx"] } });
    expect(told(deliveryOf(RETRYING), own).next.text[0]).toContain(
      "own schedule (1s, 5m; 3 attempts in a round)",
    );
    const growing = webhookOf({ retry: { base: "1m", factor: 2, max: "1h", attempts: 8 } });
    expect(told(deliveryOf(RETRYING), growing).next.text[0]).toContain(
      "(1m, each 2 times the one before, 1h at most; 8 attempts in a round)",
    );
    const asked = deliveryOf({ ...RETRYING, attempts: [attemptOf({ status_code: 429 })] });
    expect(told(asked, webhookOf()).next.text[0]).toContain("Retry-After");
  });

  it.each([
    ["paused", webhookOf({ is_paused: true }), "paused", "hookd webhooks resume wh_1"],
    [
      "breaker",
      webhookOf({}, { breaker: "open", parked_until: ago(-30) }),
      "The next probe goes in 30s (2026-11-22T08:00:30.000Z)",
      "hookd webhooks enable wh_1",
    ],
    ["breaker", webhookOf({}, { breaker: "open" }), "The next probe goes now", "hookd webhooks enable wh_1"],
    [
      "off",
      webhookOf({ is_active: false, disabled_reason: "gone" }),
      "410",
      "hookd webhooks enable wh_1 --replay",
    ],
    ["off", webhookOf({ is_active: false, disabled_reason: "failing" }), "nothing but failures", null],
    ["off", webhookOf({ is_active: false, disabled_reason: "user" }), "its user switched it off", null],
    [
      "parked",
      webhookOf({ rate_limit: { per_second: 2 } }, { parked_until: ago(-3) }),
      "its rate limit of 2 a second",
      null,
    ],
    ["parked", webhookOf({}, { parked_until: ago(-3) }), "asked for a pause with Retry-After", null],
    [
      "parked",
      webhookOf({}, { parked_until: ago(-3), last_error: { at: ago(1), error: "timeout" } }),
      "the last attempt timed out",
      null,
    ],
    ["full", webhookOf({}, { in_flight: 2, backlog: 7 }), "2 attempts of its webhook are in flight", null],
    ["order", webhookOf({ ordering: "fifo" }, { backlog: 7 }), "in order (fifo)", null],
  ] as const)("says what holds it back: %s", (kind, webhook, words, command) => {
    const { next, fixes } = told(deliveryOf(), webhook);
    expect(next).toMatchObject({ kind: "held", held_by: [kind] });
    expect(next.text[0]).toContain("has been due since 1m ago");
    expect(next.text[1]).toContain(words);
    if (command !== null) expect(fixes.map((fix) => fix.command)).toContain(command);
  });

  it("says that hookd as a whole is paused, since when and why, and how it goes on", () => {
    const pause = { reason: "restored", since: ago(120) } as const;
    const { next, fixes } = told(deliveryOf(), webhookOf({ is_paused: true }), pause);
    expect(next).toMatchObject({ kind: "held", held_by: ["hookd_paused", "paused"] });
    expect(next.text[1]).toContain("since 2m ago (2026-11-22T07:58:00.000Z) (it was restored from a backup");
    expect(next.text[1]).toContain("until `hookd resume`");
    expect(fixes[0]?.command).toBe("hookd resume");

    const operator = { reason: "operator", since: ago(120) } as const;
    const later = told(deliveryOf(RETRYING), webhookOf(), operator).next;
    expect(later).toMatchObject({ kind: "held", at: ago(-240) });
    expect(later.text[1]).toContain("somebody paused it");
    // An attempt that is under way ends all the same, and what has ended needs it for its replay alone.
    expect(told(deliveryOf({ is_leased: true }), webhookOf(), operator).next.kind).toBe("being_tried");
    expect(told(dead("exhausted"), webhookOf(), operator).next.held_by).toEqual([]);
    expect(told(dead("exhausted"), webhookOf(), operator).fixes.map(({ command }) => command)).toContain(
      "hookd resume",
    );
  });

  it("says so where nothing holds it back, and what is before it only once it is due", () => {
    expect(told(deliveryOf(), webhookOf()).next.kind).toBe("due");
    const busy = webhookOf({ ordering: "fifo" }, { in_flight: 2, backlog: 7 });
    expect(told(deliveryOf(RETRYING), busy).next.kind).toBe("scheduled");
    expect(told(deliveryOf({ is_leased: true }), busy).next.kind).toBe("being_tried");
  });

  it("is nothing for what has ended", () => {
    const delivered = deliveryOf({
      status: "success",
      next_retry_at: null,
      attempts: [attemptOf(), attemptOf({ number: 2, verdict: "success", status_code: 200 })],
    });
    const { next, why, fixes } = told(delivered, webhookOf());
    expect(next).toMatchObject({ kind: "none", at: null });
    expect(why).toEqual(["The receiver took it (200).", "1 attempt failed."]);
    expect(fixes.map(({ command }) => command)).toEqual(["hookd deliveries replay dlv_1"]);
    expect(commandsOf(delivered, null)).toEqual([]);
    expect(commandsOf(delivered, webhookOf({ is_active: false }))).toEqual([]);
    expect(told(dead("exhausted"), webhookOf()).next.kind).toBe("none");
  });
});

describe("what can be done for a dead one", () => {
  const retry = "hookd deliveries retry dlv_1 --wait";

  it("is to mend what it died of and replay it, or all like it", () => {
    for (const reason of DEAD_REASONS) {
      const alike = `hookd dlq replay --webhook wh_1 --reason ${reason}`;
      expect(commandsOf(dead(reason), webhookOf())).toEqual([retry, alike]);
    }
  });

  it("begins with its webhook where that is off, paused or deleted", () => {
    const off = webhookOf({ is_active: false, disabled_reason: "gone" });
    expect(commandsOf(dead("permanent"), off)[0]).toBe("hookd webhooks enable wh_1");
    expect(commandsOf(dead("disabled"), off)).toEqual(["hookd webhooks enable wh_1 --replay"]);
    expect(allText(dead("disabled"), off)).toContain("The webhook is off: the receiver answered 410");
    expect(allText(dead("disabled"))).toContain("switched on again since");
    expect(commandsOf(dead("exhausted"), webhookOf({ is_paused: true }))[0]).toBe(
      "hookd webhooks resume wh_1",
    );
    expect(commandsOf(dead("disabled"), null)).toEqual([
      "hookd webhooks add --event user.created --url https://... --user acme",
    ]);
    expect(allText(dead("disabled"), null)).toContain("has been deleted");
  });

  it("tells what was replayed and waits again", () => {
    const again = deliveryOf({ attempts: [attemptOf({ verdict: "permanent", status_code: 404 })] });
    expect(told(again, webhookOf()).headline).toContain("was replayed");
  });

  it("words that this command line does not know are told as they are", () => {
    expect(allText(dead("constructor"))).toContain("It died: constructor.");
    const odd = deliveryOf({ ...RETRYING, attempts: [attemptOf({ error: "toString", status_code: null })] });
    expect(allText(odd)).toContain("It failed: toString.");
  });
});
