import { expect, test } from "vitest";
import { setup } from "./setup.ts";

const LATER = { retry: { schedule: ["1h", "1h"] } };

/** One webhook whose breaker opens, one that fails a little, one that is well. */
async function withTrouble() {
  const world = await setup();
  const { receiver, register, publish } = world;
  const ids = {
    fine: await register("a.fine"),
    broken: await register("b.broken", LATER),
    shaky: await register("c.shaky", LATER),
  };
  receiver.answer = ({ path }, count) => ({
    status: path === "/b.broken" || (path === "/c.shaky" && count % 2 === 0) ? 503 : 200,
    body: "as ordered",
  });
  for (let count = 0; count < 6; count += 1) await publish("b.broken");
  await publish("a.fine");
  await publish("c.shaky");
  await publish("c.shaky");
  return { ...world, ids };
}

function eventsIn(screen: string): string[] {
  return [...screen.matchAll(/\b(a\.fine|b\.broken|c\.shaky)\b/g)].map(([event]) => event);
}

test("webhooks show with the one in trouble first; sorts and filters; enter watches one, esc comes back", async () => {
  const { terminal, publish, ids } = await withTrouble();
  const { waitFor, keys } = terminal(["top"], { columns: 160 });
  const screen = await waitFor(/b\.broken +default +open +6 /);
  expect(screen).toMatch(/^hookd top {2}http:\/\/127.0.0.1:\d+ {2}3 webhooks {2}by trouble +LIVE\n/);
  expect(eventsIn(screen)).toEqual(["b.broken", "c.shaky", "a.fine"]);
  expect(screen).toMatch(/c\.shaky +default +ok +1 +in 1h +50% +\d+ ms/);
  expect(screen).toMatch(/a\.fine +default +ok +0 +- +100% +\d+ ms/);
  await waitFor(/queue 7 .*breakers open 1/);
  keys("/", "fine");
  await waitFor((text) => eventsIn(text).join() === "a.fine");
  keys("Enter", "Enter");
  await waitFor(/hookd tail .*a\.fine +LIVE/);
  await publish("a.fine");
  await publish("c.shaky");
  await waitFor(/success +a\.fine +200/);
  await publish("a.fine");
  const tail = await waitFor(/attempts 2 /);
  expect(tail).not.toContain("c.shaky");
  expect(tail).toContain(ids.fine);
  keys("Escape");
  await waitFor(/hookd top .*filter: fine/);
  keys("Escape");
  await waitFor((text) => eventsIn(text).length === 3);
  keys("a");
  // The rate is of the last seconds, in which only these two had attempts.
  await waitFor((text) => text.includes("by rate") && eventsIn(text)[0] === "a.fine");
  keys("q");
  await waitFor(/^before\nexit: 0\n+$/);
});

test("in a pipe the table is printed once, and with --json a webhook a line, worst first", async () => {
  const { env, ids, daemon } = await withTrouble();
  const { hookd } = await import("../cli/support.ts");
  await expect
    .poll(async () => (await daemon.call("GET", `/v1/webhooks/${ids.broken}`)).json.live.breaker)
    .toBe("open");
  const plain = await hookd(["top"], { env });
  expect(plain.exitCode).toBe(0);
  const rows = plain.stdout.trimEnd().split("\n");
  expect(rows.map((row) => row.split("\t").slice(0, 5).join(" "))).toEqual([
    `${ids.broken} b.broken default open 6`,
    `${ids.shaky} c.shaky default ok 1`,
    `${ids.fine} a.fine default ok 0`,
  ]);
  const json = await hookd(["top", "--json", "--sort", "success"], { env });
  const objects = json.stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(objects.map(({ event_id }) => event_id)).toEqual(["b.broken", "c.shaky", "a.fine"]);
  expect(objects[0].live).toMatchObject({ breaker: "open", backlog: 6, success_rate: 0 });
  expect(await hookd(["top", "--sort", "luck"], { env })).toMatchObject({ exitCode: 2 });
});
