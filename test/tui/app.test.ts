import { cleanup, render } from "ink-testing-library";
import { createElement as h } from "react";
import { afterEach, describe, expect, test } from "vitest";
import { App } from "../../src/tui/app.ts";
import type { Screen } from "../../src/tui/screen.ts";
import { createTailScreen } from "../../src/tui/tail-screen.ts";
import { createTopScreen } from "../../src/tui/top-screen.ts";
import { DELIVERY, deliveryBody, settledBody, webhookBody } from "../support/api-bodies.ts";
import { fakeApi } from "./fake-api.ts";

const screens: Screen[] = [];

afterEach(() => {
  cleanup();
  for (const screen of screens.splice(0)) screen.stop();
});

/** Ink's own rendering of a screen, with keys as a terminal sends them. */
function mount(screen: Screen) {
  screens.push(screen);
  const { stdin, stdout, lastFrame } = render(h(App, { screen, isColourful: true }));
  const looking = new Set<() => void>();
  const write = stdout.write;
  stdout.write = (frame) => {
    write(frame);
    for (const look of looking) look();
  };
  return {
    press: (keys: string) => stdin.write(keys),
    frames: () => stdout.frames.length,
    /** Resolves with the first frame that looks as asked. */
    frame(looks: RegExp): Promise<string> {
      return new Promise((resolve) => {
        const look = () => {
          const frame = lastFrame() ?? "";
          if (!looks.test(frame)) return;
          looking.delete(look);
          resolve(frame);
        };
        looking.add(look);
        look();
      });
    },
  };
}

describe("the live view", () => {
  function setup() {
    const fake = fakeApi();
    const copied: string[] = [];
    const screen = createTailScreen(fake.api, {
      query: { rows_per_second: 200 },
      scope: "",
      hasBack: false,
      copy: (text) => copied.push(text),
    });
    return { ...fake, copied, screen, ...mount(screen) };
  }

  test("draws rows as they come, a few frames for thousands of them, and says how many have no row", async () => {
    const { attempt, counts, skipped, frame, frames } = setup();
    await frame(/LIVE/);
    const before = frames();
    for (let index = 0; index < 3_000; index += 1) attempt(settledBody({ event_id: `event.${index}` }));
    skipped(9_000);
    counts({ attempts: 12_000, success: 0, retrying: 12_000, dead: 0 });
    await frame(/event\.2999[\s\S]*/);
    const drawn = await frame(
      /attempts 12,000 {2}success 0 {2}retrying 12,000 {2}dead 0 {2}9,000 without a row/,
    );
    expect(drawn).not.toContain("event.2 ");
    expect(frames() - before).toBeLessThan(20);
  });

  test("takes keys: pause, filter, detail, retry, copy, help, quit", async () => {
    const { attempt, answers, asked, copied, frame, press, screen } = setup();
    await frame(/LIVE/);
    attempt(settledBody({ event_id: "order.paid" }));
    attempt(settledBody({ event_id: "user.created", status: "success" }, { status_code: 200 }));
    await frame(/order\.paid[\s\S]*user\.created/);
    press("\u001b[A");
    await frame(/PAUSED[\s\S]*> .*order\.paid/);
    // Typed at once, as fast typing and pasting come.
    press("/created\r");
    expect(await frame(/filter: created/)).not.toContain("order.paid");
    // Two keys that a terminal sent in one go: the filter is left, and so is the pause.
    press("\u001b\u001b");
    await frame(/LIVE[\s\S]*order\.paid/);
    press("\u001b[A");
    await frame(/> .*order\.paid/);
    press("r");
    await frame(new RegExp(`${DELIVERY} is due now`));
    press("c");
    await frame(/copied/);
    expect(copied).toEqual([DELIVERY]);
    answers.delivery = deliveryBody({ status: "dead", reason: "exhausted", next_retry_at: null });
    press("\r");
    await frame(/why +Every attempt that the retry schedule allows/);
    press("?");
    await frame(/space +pause/);
    press("?");
    await frame(/OUTCOME/);
    expect(asked.filter((call) => call.startsWith("retry"))).toEqual([`retry ${DELIVERY}`]);
    press("q");
    expect(await screen.ended).toBe("quit");
  });

  test("ends its stream when it is stopped", async () => {
    const { frame, screen, streams } = setup();
    await frame(/LIVE/);
    expect(streams()).toBe(1);
    screen.stop();
    expect(streams()).toBe(0);
  });
});

test("top keeps the selection with its webhook when the order changes, and opens its live view", async () => {
  const fake = fakeApi();
  fake.answers.webhooks = [
    webhookBody({ id: "wh_a", event_id: "a.event" }, { backlog: 9 }),
    webhookBody({ id: "wh_b", event_id: "b.event" }, { backlog: 5 }),
    webhookBody({ id: "wh_c", event_id: "c.event" }, { breaker: "open" }),
  ];
  const screen = createTopScreen(fake.api, { query: {}, sort: "trouble", copy: () => {} });
  const { frame, press } = mount(screen);
  await frame(/> c\.event[\s\S]*a\.event[\s\S]*b\.event/);
  press("j");
  await frame(/> a\.event/);
  fake.answers.webhooks = fake.answers.webhooks.map((webhook) =>
    webhook.id === "wh_b" ? webhookBody({ id: "wh_b", event_id: "b.event" }, { backlog: 50 }) : webhook,
  );
  await frame(/c\.event[\s\S]*b\.event[\s\S]*> a\.event/);
  press("b");
  await frame(/by backlog[\s\S]*> b\.event[\s\S]*a\.event[\s\S]*c\.event/);
  press("\r");
  await frame(/hookd tail .*webhook wh_b b\.event/);
  expect(fake.asked).toContain('stream {"webhook_id":"wh_b","rows_per_second":200}');
  press("\u001b");
  await frame(/hookd top/);
  press("\u0003");
  expect(await screen.ended).toBe("interrupted");
});
