import { rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished } from "vitest";
import type { KeyName } from "../../src/config/keys.ts";
import { startDnsServer } from "../support/dns-server.ts";
import { type Answer, type Receiver, startReceiver } from "../support/receiver.ts";
import { until } from "../support/world.ts";
import { EVENT_KEYS } from "./event-keys.ts";
import type { ReloadWorld, Settings } from "./world.ts";

/** What a live key does: seen with `before` in force, and then otherwise with `after`, in the same daemon. */
export interface Case {
  readonly before: unknown;
  readonly after: unknown;
  /** Other settings, in force in both. */
  readonly beside?: Settings;
  /** In force: `before`. What it gives is called once `after` is. */
  readonly see: (world: ReloadWorld) => Promise<() => Promise<void>>;
}

const NEVER_OPENS = { "breaker.consecutive": 1000, "breaker.window": 32, "breaker.ratio": 1 };
const OPENS_AT_ONCE = { "breaker.consecutive": 1 };

export const LIVE: { readonly [K in KeyName]?: Case } = {
  "delivery.timeout": {
    before: "30s",
    after: "200ms",
    async see(world) {
      const receiver = await startReceiver();
      const { event } = await world.webhook(receiver.url);
      await world.deliver(event, { status: "success" });
      receiver.answer = hang;
      return async () => void (await world.deliver(event, { error: "timeout" }));
    },
  },
  "delivery.age_max": {
    before: "3d",
    after: "1s",
    beside: { "retry.schedule": ["1s"], "retry.jitter": 0 },
    async see(world) {
      const { event } = await world.webhook(await failing());
      await world.deliver(event, { status: "dead", reason: "exhausted" });
      return async () => void (await world.deliver(event, { status: "dead", reason: "expired" }));
    },
  },
  "delivery.concurrency_max": {
    before: 1,
    after: 2,
    async see(world) {
      const receiver = await startReceiver();
      receiver.answer = hang;
      const { event, id } = await world.webhook(receiver.url);
      await world.publish(event);
      await world.publish(event);
      await world.lane(id, { in_flight: 1, backlog: 1 });
      return async () => void (await world.lane(id, { in_flight: 2, backlog: 0 }));
    },
  },
  "delivery.in_flight_max": {
    before: 1,
    after: 8,
    async see(world) {
      await until("nothing is in flight", async () => (await world.metric("hookd_in_flight")) === 0);
      const receiver = await startReceiver();
      receiver.answer = hang;
      const [first, second] = [await world.webhook(receiver.url), await world.webhook(receiver.url)];
      await world.publish(first.event);
      await world.publish(second.event);
      await world.lane(second.id, { in_flight: 0, backlog: 1 });
      return async () => void (await world.lane(second.id, { in_flight: 1, backlog: 0 }));
    },
  },
  "delivery.response_excerpt_bytes": {
    before: 1024,
    after: 3,
    async see(world) {
      const { event } = await world.webhook(await failing(500, "abcdef"));
      const excerpt = async () =>
        (await world.deliver(event, { status: "retrying" })).attempts[0].response_excerpt;
      expect(await excerpt()).toBe("abcdef");
      return async () => expect(await excerpt()).toBe("abc");
    },
  },
  "retry.schedule": {
    before: ["10h"],
    after: ["1h"],
    async see(world) {
      const { event } = await world.webhook(await failing());
      expect(await retryDelayHours(world, event)).toBeCloseTo(10, 1);
      return async () => expect(await retryDelayHours(world, event)).toBeCloseTo(1, 1);
    },
  },
  "retry.jitter": {
    before: 10,
    after: 0,
    beside: { ...NEVER_OPENS, "retry.schedule": ["10h"] },
    async see(world) {
      const { event } = await world.webhook(await failing());
      // Drawn from 10 to 110 hours: three of them are not all near 10.
      const drawn = [];
      for (let draw = 0; draw < 3; draw += 1) drawn.push(await retryDelayHours(world, event));
      expect(Math.max(...drawn)).toBeGreaterThan(10.1);
      return async () => {
        for (let draw = 0; draw < 3; draw += 1)
          expect(await retryDelayHours(world, event)).toBeCloseTo(10, 1);
      };
    },
  },
  "retry.permanent": {
    before: ["4xx"],
    after: ["4xx", "!418"],
    async see(world) {
      const { event } = await world.webhook(await failing(418));
      await world.deliver(event, { status: "dead", reason: "permanent" });
      return async () => void (await world.deliver(event, { status: "retrying" }));
    },
  },
  "breaker.consecutive": {
    before: 1000,
    after: 1,
    beside: { "breaker.window": 32, "breaker.ratio": 1 },
    see: (world) => seeOpening(world, 1),
  },
  "breaker.window": {
    before: 32,
    after: 2,
    beside: { "breaker.consecutive": 1000, "breaker.ratio": 1 },
    see: (world) => seeOpening(world, 2),
  },
  "breaker.ratio": {
    before: 1,
    after: 0.5,
    beside: { "breaker.consecutive": 1000, "breaker.window": 2 },
    async see(world) {
      const receiver = await startReceiver();
      const { event, id } = await world.webhook(receiver.url);
      const once = async () => {
        receiver.answer = () => ({ status: 200 });
        await world.deliver(event, { status: "success" });
        receiver.answer = () => ({ status: 500 });
        await world.deliver(event, { status: "retrying" });
      };
      await once();
      await world.lane(id, { breaker: "closed" });
      return async () => {
        await once();
        await world.lane(id, { breaker: "open" });
      };
    },
  },
  "breaker.probe": {
    before: "24h",
    after: "10ms",
    beside: { ...OPENS_AT_ONCE, "breaker.probe_max": "24h" },
    async see(world) {
      expect(await hoursToProbe(world)).toBeGreaterThan(1);
      return async () => expect(await hoursToProbe(world)).toBeLessThan(1);
    },
  },
  "breaker.probe_max": {
    before: "24h",
    after: "10ms",
    // As long at first; the case changes it with this one, which may not be shorter.
    beside: OPENS_AT_ONCE,
    async see(world) {
      const receiver = await startReceiver();
      const { event, id } = await world.webhook(receiver.url);
      receiver.answer = () => ({ status: 500 });
      await world.deliver(event, { status: "retrying" });
      await world.lane(id, { breaker: "open" });
      receiver.answer = () => ({ status: 200 });
      const { json } = await world.publish(event);
      expect(receiver.received).toHaveLength(1);
      // Its probe was a day away: it is brought forward.
      return async () => void (await world.delivery(json.deliveries[0].id, { status: "success" }));
    },
  },
  "breaker.disable_after": {
    before: "5d",
    after: "1s",
    beside: { ...NEVER_OPENS, "retry.schedule": ["1s", "1s", "1s", "1s"] },
    async see(world) {
      const { event, id } = await world.webhook(await failing());
      await world.publish(event);
      const isOff = async () => (await world.daemon.call("GET", `/v1/webhooks/${id}`)).json.disabled_reason;
      expect(await isOff()).toBeNull();
      return async () => void (await until("it is switched off", async () => (await isOff()) === "failing"));
    },
  },
  "net.allow": {
    before: ["127.0.0.0/8"],
    after: [],
    see: seeBlocking,
  },
  "net.allow_http": {
    before: true,
    after: false,
    see: seeBlocking,
  },
  "net.nat64": {
    before: true,
    after: false,
    async see(world) {
      const url = "http://[64:ff9b::808:808]/";
      const { event } = await world.webhook(url);
      return async () => {
        await world.deliver(event, { status: "dead", reason: "blocked" });
        expect((await world.create(world.name(), url)).json.code).toBe("invalid_url");
      };
    },
  },
  "net.idle_connections_max": {
    before: 12_288,
    after: 0,
    async see(world) {
      let connections = 0;
      const server = createServer((request, response) => request.resume().on("end", () => response.end()));
      server.on("connection", () => {
        connections += 1;
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      onTestFinished(() => {
        server.closeAllConnections();
        server.close();
      });
      const { event } = await world.webhook(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
      const thrice = async () => {
        for (let count = 0; count < 3; count += 1) await world.deliver(event, { status: "success" });
      };
      await thrice();
      expect(connections).toBe(1);
      return async () => {
        await thrice();
        expect(connections).toBeGreaterThan(2);
      };
    },
  },
  "limits.queue_depth": {
    before: 1_000_000,
    after: 1,
    see: (world) => seeRefusal(world, "queue_full"),
  },
  "limits.user_backlog": {
    before: 1_000_000,
    after: 1,
    see: (world) => seeRefusal(world, "user_full"),
  },
  "limits.lane_backlog": {
    before: 1_000_000,
    after: 1,
    see: (world) => seeRefusal(world, "lane_full"),
  },
  "limits.disk_free": {
    before: 0,
    after: "1000GiB",
    see: (world) => seeRefusal(world, "disk_full"),
  },
  "limits.publish_per_key": {
    before: 0,
    after: 1,
    see: (world) => seeRefusal(world, "rate_limited"),
  },
  "limits.fanout_max": {
    before: 100,
    after: 1,
    async see(world) {
      const receiver = await startReceiver();
      const event = world.name();
      for (const user_id of [world.name(), world.name()])
        await world.create(event, receiver.url, { user_id });
      const fanOut = async () => (await world.publish(event, { user_id: "*" })).json.fan_out ?? null;
      expect(await fanOut()).toBeNull();
      return async () => expect(await fanOut()).toMatch(/^job_/);
    },
  },
  ...EVENT_KEYS,
  "retention.success": {
    before: "3650d",
    after: "1m",
    async see(world) {
      expect(await world.oldCount("success")).toBe(1);
      return async () => {
        await until("the old one is deleted", async () => (await world.oldCount("success")) === 0);
        expect(await world.oldCount("dead")).toBe(1);
      };
    },
  },
  "retention.dead": {
    before: "3650d",
    after: "1m",
    async see(world) {
      expect(await world.oldCount("dead")).toBe(1);
      return async () =>
        void (await until("it is deleted", async () => (await world.oldCount("dead")) === 0));
    },
  },
  "log.level": {
    before: "info",
    after: "error",
    async see(world) {
      const { event } = await world.webhook(await failing());
      await logged(world, event, { status: "retrying" }, "loud-1");
      return async () => {
        await world.deliver(event, { status: "retrying" }, { event_uid: "silent-1" });
        await world.reload({});
        await logged(world, event, { status: "retrying" }, "loud-2");
        expect(world.daemon.log()).not.toContain("silent-1");
      };
    },
  },
  "backup.dir": {
    before: null,
    after: join(tmpdir(), `hookd-reload-backups-${process.pid}`),
    async see(world) {
      expect(await backupDirectory(world)).toBe(join(world.daemon.dataDir, "backups"));
      return async () => {
        const directory = await backupDirectory(world);
        onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
        expect(directory).toMatch(/hookd-reload-backups-\d+$/);
      };
    },
  },
  "log.sample_success": {
    before: 0,
    after: 1,
    async see(world) {
      const receiver = await startReceiver();
      const { event } = await world.webhook(receiver.url);
      await world.deliver(event, { status: "success" }, { event_uid: "unsampled-1" });
      return async () => {
        await logged(world, event, { status: "success" }, "sampled-1");
        expect(world.daemon.log()).not.toContain("unsampled-1");
      };
    },
  },
  "trace.sample": {
    before: 0,
    after: 1,
    beside: { "trace.propagate": true },
    see: (world) => seeTraceparent(world),
  },
  "trace.propagate": {
    before: false,
    after: true,
    beside: { "trace.sample": 1 },
    see: (world) => seeTraceparent(world),
  },
};

/** Name servers are named by what they listen on. */
export async function dnsServersCase(): Promise<Case> {
  const servers = [await startDnsServer(toLoopback), await startDnsServer(toLoopback)] as const;
  onTestFinished(async () => void (await Promise.all(servers.map((server) => server.close()))));
  return {
    before: [servers[0].address],
    after: [servers[1].address],
    async see(world) {
      const receiver = await startReceiver();
      // Each attempt connects anew, and asks for the address.
      receiver.answer = () => ({ status: 200, headers: { connection: "close" } });
      const { event } = await world.webhook(`http://receiver.example.com:${receiver.port}/`);
      await world.deliver(event, { status: "success" });
      expect(servers[0].queries).not.toHaveLength(0);
      expect(servers[1].queries).toHaveLength(0);
      return async () => {
        await world.deliver(event, { status: "success" });
        expect(servers[1].queries).not.toHaveLength(0);
      };
    },
  };
}

function toLoopback({ type }: { type: string }) {
  return type === "A" ? [{ type: "A" as const, data: "127.0.0.1" }] : [];
}

function hang(): Promise<Answer> {
  return new Promise(() => {});
}

/** Attempts without one, and then with. */
async function seeTraceparent(world: ReloadWorld) {
  const receiver = await startReceiver();
  const { event } = await world.webhook(receiver.url);
  await world.deliver(event, { status: "success" });
  expect(receiver.received.at(-1)?.headers).not.toHaveProperty("traceparent");
  return async () => {
    await world.deliver(event, { status: "success" });
    expect(receiver.received.at(-1)?.headers.traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
  };
}

async function failing(status = 500, body = "no"): Promise<string> {
  const receiver: Receiver = await startReceiver();
  receiver.answer = () => ({ status, body });
  return receiver.url;
}

async function retryDelayHours(world: ReloadWorld, event: string): Promise<number> {
  const { created_at, next_retry_at } = await world.deliver(event, { status: "retrying" });
  return (Date.parse(next_retry_at) - Date.parse(created_at)) / 3_600_000;
}

/** Of a breaker that has just opened. */
async function hoursToProbe(world: ReloadWorld): Promise<number> {
  const { event, id } = await world.webhook(await failing());
  await world.deliver(event, { status: "retrying" });
  const { parked_until } = await world.lane(id, { breaker: "open" });
  return parked_until === null ? 0 : (Date.parse(parked_until) - Date.now()) / 3_600_000;
}

/** A breaker that stays closed after so many failures, and then opens with the next one. */
async function seeOpening(world: ReloadWorld, failures: number): Promise<() => Promise<void>> {
  const { event, id } = await world.webhook(await failing());
  for (let count = 0; count < failures; count += 1) await world.deliver(event, { status: "retrying" });
  await world.lane(id, { breaker: "closed" });
  return async () => {
    await world.deliver(event, { status: "retrying" });
    await world.lane(id, { breaker: "open" });
  };
}

/** A receiver that is reached, and then neither reached nor registered. */
async function seeBlocking(world: ReloadWorld): Promise<() => Promise<void>> {
  const receiver = await startReceiver();
  const { event } = await world.webhook(receiver.url);
  await world.deliver(event, { status: "success" });
  return async () => {
    // Not even by the connection that is open still.
    await world.deliver(event, { status: "dead", reason: "blocked" });
    expect(receiver.received).toHaveLength(1);
    expect((await world.create(world.name(), receiver.url)).json.code).toBe("invalid_url");
  };
}

/** Publishing to a paused webhook: accepted, and then, two at a time, refused. */
async function seeRefusal(world: ReloadWorld, code: string): Promise<() => Promise<void>> {
  const user_id = world.name();
  const { event, id } = await world.webhook("http://127.0.0.1:9000/", { user_id });
  await world.daemon.call("POST", `/v1/webhooks/${id}/pause`);
  const publish = () => world.publish(event, { user_id });
  for (const { status } of await Promise.all([publish(), publish()])) expect(status).toBe(202);
  return async () => {
    await until(`it is refused: ${code}`, async () => {
      const answers = await Promise.all([publish(), publish()]);
      return answers.some(({ json }) => json.code === code);
    });
  };
}

/** Where a backup that is made now is left. */
async function backupDirectory(world: ReloadWorld): Promise<string> {
  const name = world.name();
  const { text } = await world.daemon.call("POST", "/v1/backups", { name });
  const { path } = await until(`the backup is done, that began as ${text}`, async () => {
    const { json } = await world.daemon.call("GET", `/v1/backups/${name}`);
    return json.state === "done" ? json : null;
  });
  return dirname(path);
}

async function logged(world: ReloadWorld, event: string, wanted: object, uid: string): Promise<void> {
  await world.deliver(event, wanted, { event_uid: uid });
  await until(`${uid} is logged`, () => world.daemon.log().includes(uid));
}
