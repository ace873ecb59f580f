import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { KEY_NAMES, KEYS, type KeyName } from "../../src/config/keys.ts";
import { startReceiver } from "../support/receiver.ts";
import { until } from "../support/world.ts";
import { type Case, dnsServersCase, LIVE } from "./live-keys.ts";
import { ReloadWorld, type Settings } from "./world.ts";

const ends: (() => Promise<void>)[] = [];
let world: ReloadWorld;

beforeAll(async () => {
  world = await ReloadWorld.start((end) => ends.unshift(end));
});

afterAll(async () => {
  for (const end of ends) await end();
});

const namesOf = (change: string) => KEY_NAMES.filter((name) => KEYS[name].change === change);
/** Those with a test of their own below. */
const OTHERS: readonly KeyName[] = ["net.dns_servers", "delivery.drain"];

describe("every key", () => {
  it("is live or needs a restart", () => {
    expect([...namesOf("live"), ...namesOf("restart")].sort()).toEqual([...KEY_NAMES].sort());
  });

  it("that is live is seen to be, here", () => {
    expect([...Object.keys(LIVE), ...OTHERS].sort()).toEqual(namesOf("live").sort());
  });
});

describe("a reload takes up", () => {
  it.each(Object.entries(LIVE))("%s", (name, one) => check(name, one));

  it("net.dns_servers", async () => check("net.dns_servers", await dnsServersCase()));
});

async function check(name: string, { before, after, beside, see }: Case): Promise<void> {
  const settings = (value: unknown): Settings => ({
    ...beside,
    // A probe's longest wait is no shorter than its first one.
    ...(name === "breaker.probe_max" ? { "breaker.probe": value } : {}),
    [name]: value,
  });
  await world.reload(settings(before));
  const effect = await see(world);
  await world.reload(settings(after));
  await effect();
}

describe("what needs a restart", () => {
  const changed: Settings = {
    listen: "127.0.0.1:1",
    data_dir: "/elsewhere",
    "delivery.senders": 2,
    "net.ca_file": "/etc/nowhere.pem",
    "limits.payload_bytes": "2KiB",
    "limits.batch_bytes": "4KiB",
    "limits.dedupe_window": "30d",
    "retention.archive_dir": "/elsewhere",
    "cache.ttl": "1s",
    "cache.entries": 1,
    "security.master_key_file": "/etc/nowhere.key",
    "trace.endpoint": "http://127.0.0.1:10",
    "trace.headers": { "x-api-key": "secret-of-the-collector" },
  };
  // Flags name these two, and go before the file; of the store there is one kind.
  const seen = Object.keys(changed).filter((name) => name !== "listen" && name !== "data_dir");

  it("is every other key", () => {
    expect([...Object.keys(changed), "store.url"].sort()).toEqual(namesOf("restart").sort());
  });

  it("is named at each reload and not taken up, while what is live beside it is", async () => {
    await world.reload({});
    await world.reload({ ...changed, "limits.fanout_max": 7 });
    expect(await world.metric("hookd_config_restart_settings")).toBe(seen.length);
    const warning = await line(/need a restart/);
    expect(warning).toMatchObject({ level: "warn", settings: seen });
    expect(await line(/a setting was changed/)).toMatchObject({
      setting: "limits.fanout_max",
      from: 100,
      to: 7,
    });
    const receiver = await startReceiver();
    const { event } = await world.webhook(receiver.url);
    const payload = "x".repeat(8 * 1_024);
    await world.deliver(event, { status: "success" }, { payload });
    await world.hangUp("ok");
    expect(await world.metric("hookd_config_restart_settings")).toBe(seen.length);
    await world.reload({});
    expect(await world.metric("hookd_config_restart_settings")).toBe(0);
  });
});

describe("a configuration that is wrong", () => {
  it("changes nothing, is told as `config check` tells it, and is forgotten with the next good one", async () => {
    await world.reload({ "limits.fanout_max": 9 });
    const loaded = await world.metric("hookd_config_loaded_seconds");
    const count = (text: string) => world.daemon.log().split(text).length - 1;
    const before = count("a setting was changed");
    await world.reloadBad("limits:\n  fanout_max: 8\n  queue_deep: 1\ndelivery: {timeout: 1}\n");
    expect(await world.metric("hookd_config_refused")).toBe(1);
    expect(await world.metric("hookd_config_loaded_seconds")).toBe(loaded);
    const { level, faults } = await line(/is wrong and was not taken up/);
    expect(level).toBe("error");
    expect(faults).toHaveLength(2);
    expect(faults[0]).toMatch(
      /hookd\.yaml:3: there is no key limits\.queue_deep: did you mean limits\.queue_depth\?/,
    );
    expect(faults[1]).toMatch(/hookd\.yaml:4: delivery\.timeout: 1 is not a duration/);
    expect(count("a setting was changed")).toBe(before);
    expect((await world.daemon.call("GET", "/readyz")).status).toBe(200);
    // 9 is in force still: it is no change.
    await world.reload({ "limits.fanout_max": 9 });
    expect(count("a setting was changed")).toBe(before);
    expect(await world.metric("hookd_config_refused")).toBe(0);
    expect(await world.metric("hookd_config_loaded_seconds")).toBeGreaterThan(loaded);
  });
});

describe("a stop", () => {
  it("waits for what is in flight by the drain of now (delivery.drain)", async () => {
    const receiver = await startReceiver();
    receiver.answer = () => new Promise(() => {});
    await world.reload({ "delivery.drain": "10m" });
    const { event } = await world.webhook(receiver.url, { timeout: "30s" });
    await world.publish(event);
    await until("the attempt is under way", () => receiver.received.length === 1);
    await world.reload({ "delivery.drain": "0s" });
    // With the drain of before this would take the attempt's 30 s: longer than a test may.
    expect(await world.daemon.stop()).toBe(0);
  });
});

/** The last line of the log with this message. */
async function line(message: RegExp) {
  return until(`${message} is logged`, () => {
    const lines = world.daemon
      .log()
      .split("\n")
      .filter((text) => text.startsWith("{"))
      .map((text) => JSON.parse(text));
    return lines.findLast(({ msg }) => message.test(msg)) ?? null;
  });
}
