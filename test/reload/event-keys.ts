import { expect } from "vitest";
import type { KeyName } from "../../src/config/keys.ts";
import { startReceiver } from "../support/receiver.ts";
import { until } from "../support/world.ts";
import type { Case } from "./live-keys.ts";
import type { ReloadWorld } from "./world.ts";

/** Of any of hookd's own events. */
interface OwnData {
  readonly webhook: { readonly id: string };
  readonly count: number;
  readonly is_behind: boolean;
  readonly is_low: boolean;
}

/** What the live keys of hookd's own events do. */
export const EVENT_KEYS: { readonly [K in KeyName]?: Case } = {
  "events.dead_per_minute": {
    before: 0,
    after: 60,
    async see(world) {
      const own = await operator(world);
      const receiver = await startReceiver();
      receiver.answer = () => ({ status: 404 });
      const { event, id } = await world.webhook(receiver.url);
      await world.deliver(event, { status: "dead" });
      return async () => {
        await world.deliver(event, { status: "dead" });
        const dead = await own("hookd.delivery.dead", ({ webhook }) => webhook.id === id);
        // The one before was not even counted.
        expect(dead.count).toBe(1);
      };
    },
  },
  "events.behind_after": {
    before: "24h",
    after: "1s",
    async see(world) {
      const own = await operator(world);
      const receiver = await startReceiver();
      receiver.answer = () => new Promise(() => {});
      const { event, id } = await world.webhook(receiver.url, { concurrency_max: 1 });
      await world.publish(event);
      await world.publish(event);
      await world.lane(id, { in_flight: 1, backlog: 1 });
      return async () => void (await own("hookd.queue.behind", (data) => data.is_behind));
    },
  },
  "events.recovered_after": {
    before: "30d",
    after: "0s",
    beside: { "breaker.consecutive": 1, "breaker.probe": "10ms", "breaker.probe_max": "10ms" },
    async see(world) {
      const own = await operator(world);
      const breakAndMend = async () => {
        const receiver = await startReceiver();
        receiver.answer = () => ({ status: 500 });
        const { event, id } = await world.webhook(receiver.url);
        await world.deliver(event, { status: "retrying" });
        await world.lane(id, { breaker: "open" });
        receiver.answer = () => ({ status: 200 });
        await world.deliver(event, { status: "success" });
        return id;
      };
      const before = await breakAndMend();
      return async () => {
        const id = await breakAndMend();
        // Not of the one before, which would have been told first.
        const { webhook } = await own("hookd.webhook.recovered", ({ webhook }) =>
          [before, id].includes(webhook.id),
        );
        expect(webhook.id).toBe(id);
      };
    },
  },
  "events.disk_low": {
    before: 0,
    after: "1024GiB",
    async see(world) {
      const own = await operator(world);
      return async () => void (await own("hookd.disk.low", (data) => data.is_low));
    },
  },
};

/** Registers for hookd's own events. Gives the data of the first one of a kind that is as wanted, when it comes. */
async function operator(world: ReloadWorld) {
  const receiver = await startReceiver();
  const body = { event_id: "hookd.*", callback_url: receiver.url };
  const { status, text } = await world.daemon.call("PUT", "/v1/webhooks", body);
  if (status >= 300) throw new Error(text);
  return (type: string, isWanted: (data: OwnData) => boolean): Promise<OwnData> =>
    until(`${type} comes`, () => {
      const bodies = receiver.received.map((one) => JSON.parse(one.body.toString("utf8")));
      return bodies.find((one) => one.type === type && isWanted(one.data))?.data;
    });
}
