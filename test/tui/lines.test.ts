import fc from "fast-check";
import { expect, test } from "vitest";
import { explain } from "../../src/explain/explanation.ts";
import { detailLines } from "../../src/tui/detail-lines.ts";
import { healthLine } from "../../src/tui/health-line.ts";
import { parseInert } from "../../src/tui/inert.ts";
import { type Line, padLeft, padRight, textOf, wrap } from "../../src/tui/line.ts";
import { healthOf, lookAt } from "../../src/tui/metrics.ts";
import { tailLines } from "../../src/tui/tail-lines.ts";
import { FIRST_STATE, type TailState, tailReducer } from "../../src/tui/tail-state.ts";
import { topLines } from "../../src/tui/top-lines.ts";
import { FIRST_TOP_STATE, topReducer } from "../../src/tui/top-state.ts";
import { attemptBody, DELIVERY, deliveryBody, NOW, settledBody, webhookBody } from "../support/api-bodies.ts";

const FRAME = { server: "http://127.0.0.1:8420", scope: "", hasBack: false };
/** Everything that a terminal would act on. */
const ACTIVE = /[\p{Cc}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/u;

function tailOf(size: TailState["size"], rows: Parameters<typeof settledBody>[]): Line[] {
  const settled = rows.map((args) => settledBody(...args));
  const gathered = { rows: settled, counts: null, uncountedFrom: 0, skipped: 1_234 };
  const state = tailReducer({ ...FIRST_STATE, size }, { kind: "gathered", gathered });
  return tailLines(tailReducer(state, { kind: "connection", connection: { kind: "live" } }), FRAME, NOW);
}

test("outcomes have their colours, and rows their columns as far as the terminal is wide", () => {
  const rows: Parameters<typeof settledBody>[] = [
    [{ status: "success", next_retry_at: null }, { status_code: 200 }],
    [{ status: "retrying" }, { status_code: null, error: "timeout" }],
    [
      { status: "dead", reason: "permanent", next_retry_at: null },
      { status_code: 404, response_excerpt: "no such\nhook" },
    ],
  ];
  const wide = tailOf({ columns: 200, rows: 12 }, rows);
  const inkOf = (status: string) => wide.flat().find(({ text }) => text.trim() === status)?.ink;
  expect([inkOf("success"), inkOf("retrying"), inkOf("dead")]).toEqual(["green", "yellow", "red"]);
  const text = wide.map(textOf).join("\n");
  expect(text).toMatch(/timeout .* at \d\d:\d\d:\d\d/);
  expect(text).toContain(
    `permanent    acme            wh_01kb8zs5xjf7crc7a9vpz4h3tn  ${DELIVERY}  no such\\nhook`,
  );
  expect(text).toContain("1,234 without a row");
  expect(wide).toHaveLength(12);
  const narrow = tailOf({ columns: 80, rows: 12 }, rows).map(textOf);
  expect(narrow[6]).toMatch(/^ {2}\S+ {2}dead {6}order\.paid +404 +12 ms {4}1$/);
  expect(Math.max(...narrow.slice(3, 10).map(({ length }) => length))).toBeLessThanOrEqual(80);
});

test("no screen has more lines than the terminal, whatever it shows", () => {
  for (const rows of [4, 6, 24]) {
    const size = { columns: 80, rows };
    const many = Array.from({ length: 60 }, (): Parameters<typeof settledBody> => []);
    expect(tailOf(size, many).length).toBeLessThanOrEqual(Math.max(6, rows));
    const webhooks = Array.from({ length: 60 }, (_, index) => webhookBody({ id: `wh_${index}` }));
    const top = topReducer({ ...FIRST_TOP_STATE, size }, { kind: "webhooks", webhooks, isPartial: false });
    for (const pane of ["rows", "keys"] as const)
      expect(topLines({ ...top, pane }, FRAME.server, NOW).length).toBeLessThanOrEqual(Math.max(5, rows));
  }
});

test("the pane of a delivery says why it is where it is and what comes next, in the words of explain", () => {
  const delivery = deliveryBody({ next_retry_at: "2026-11-22T11:59:30.000Z" });
  const pause = { reason: "restored", since: "2026-11-22T11:00:00.000Z" } as const;
  const known = { id: DELIVERY, delivery, webhook: webhookBody(), pause, error: null, top: 0 };
  const text = detailLines(known, 400, NOW).map(textOf).join("\n");
  const { why, next } = explain(delivery, webhookBody(), pause, NOW);
  expect(text).toContain(`\nwhy       ${why.join(" ")}\nnext      ${next.text.join(" ")}\n`);
  expect(text).toContain("until `hookd resume`");
  expect(
    detailLines({ ...known, webhook: null }, 400, NOW)
      .map(textOf)
      .join("\n"),
  ).toContain("(deleted)");
});

test("what hookd as a whole does comes first: that it is paused", () => {
  const health = (paused: number) =>
    textOf(healthLine(healthOf(lookAt(`hookd_paused ${paused}\n`, 0), null)));
  expect(health(1)).toMatch(/^hookd is PAUSED, until hookd resume {2}attempts/);
  expect(health(0)).toMatch(/^attempts/);
});

test("whatever bytes a receiver answers and a publisher sends, nothing active reaches a line", () => {
  const nasty = fc.array(
    fc.oneof(
      fc.constantFrom(
        "\u001b[2J",
        "\u001b]52;c;aGk=\u0007",
        "\u009b31m",
        "\u202e",
        "\u2066",
        "\r\n",
        "\n",
        "\t",
        "\0",
      ),
      fc.string({ unit: "binary", maxLength: 8 }),
    ),
  );
  fc.assert(
    fc.property(nasty, fc.integer({ min: 40, max: 200 }), (parts, columns) => {
      const text = parts.join("");
      const attempt = attemptBody({ response_excerpt: text, error: text });
      const delivery = parseInert<ReturnType<typeof deliveryBody>>(
        JSON.stringify(deliveryBody({ error: text, event_id: text, attempts: [attempt] })),
      );
      const webhook = parseInert<ReturnType<typeof webhookBody>>(
        JSON.stringify(webhookBody({ callback_url: text })),
      );
      const settled = parseInert<ReturnType<typeof settledBody>>(
        JSON.stringify(settledBody({ event_id: text }, attempt)),
      );
      const detail = { id: DELIVERY, delivery, webhook, pause: null, error: null, top: 0 };
      const lines = [
        ...detailLines(detail, columns, NOW),
        ...tailOf({ columns, rows: 10 }, [[settled, settled.attempt]]),
      ];
      for (const line of lines) expect(textOf(line)).not.toMatch(ACTIVE);
    }),
  );
});

test("texts are broken at spaces where there are any, and lose nothing", () => {
  expect(wrap("one two three", 8)).toEqual(["one two", "three"]);
  expect(wrap("abcdefghij", 4)).toEqual(["abcd", "efgh", "ij"]);
  expect(wrap("漢字漢字", 4)).toEqual(["漢字", "漢字"]);
  fc.assert(
    fc.property(fc.string(), fc.integer({ min: 1, max: 20 }), (text, columns) => {
      expect(wrap(text, columns).join("").replaceAll(" ", "")).toBe(text.replaceAll(" ", ""));
    }),
  );
});

test("cells are as wide as they are asked to be", () => {
  expect([padRight("ab", 4), padRight("abcdef", 5), padRight("abc", 2)]).toEqual(["ab  ", "ab...", "ab"]);
  expect([padLeft("ab", 4), padLeft("abcdef", 5)]).toEqual(["  ab", "ab..."]);
});

test("rates are of two looks at the metrics, and unknown after a restart", () => {
  const text = (success: number, retry: number) =>
    `# HELP hookd_attempts_total Attempts.\nhookd_attempts_total{verdict="success"} ${success}\n` +
    `hookd_attempts_total{verdict="retry"} ${retry}\nhookd_queue_depth 7\nhookd_oldest_due_seconds 1.5\n`;
  const first = lookAt(text(90, 10), 1_000);
  expect(healthOf(first, null)).toMatchObject({ queueDepth: 7, attemptsPerSecond: null, successShare: null });
  expect(healthOf(lookAt(text(180, 20), 3_000), first)).toMatchObject({
    attemptsPerSecond: 50,
    successShare: 0.9,
    oldestDueSeconds: 1.5,
    inFlight: null,
  });
  expect(healthOf(lookAt(text(1, 0), 3_000), first)).toMatchObject({
    attemptsPerSecond: null,
    successShare: null,
  });
});
