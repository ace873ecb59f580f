import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KeyName } from "../../src/config/keys.ts";
import { createSqliteStore } from "../../src/store/sqlite/sqlite-store.ts";
import { type Adapter, WINDOW_MS, World } from "../store/world.ts";
import { type ApiAnswer, startDaemon, type TestDaemon } from "../support/daemon.ts";
import { until } from "../support/world.ts";

export type Settings = { readonly [K in KeyName]?: unknown };

/** As in production, but that receivers are on loopback; nothing is tried again or deleted while a test runs. */
const BASE: Settings = {
  "delivery.senders": 1,
  "net.allow": ["127.0.0.0/8"],
  "net.allow_http": true,
  "net.nat64": true,
  "retry.schedule": ["10h"],
  "retry.jitter": 0,
  "retention.success": "3650d",
  "retention.dead": "3650d",
  // Nobody listens there, which nothing minds.
  "trace.endpoint": "http://127.0.0.1:9",
  "trace.sample": 0,
};

/** A daemon whose configuration file a test writes again and again. */
export class ReloadWorld {
  readonly daemon: TestDaemon;
  readonly #file: string;
  #names = 0;

  constructor(daemon: TestDaemon, file: string) {
    this.daemon = daemon;
    this.#file = file;
  }

  /** Its data has a delivered and a dead delivery, of user `old`, from long ago. */
  static async start(onEnd: (end: () => Promise<void>) => void): Promise<ReloadWorld> {
    const directory = mkdtempSync(join(tmpdir(), "hookd-reload-"));
    onEnd(async () => rmSync(directory, { recursive: true, force: true }));
    const dataDir = join(directory, "data");
    const file = join(directory, "hookd.yaml");
    writeSettings(file, {});
    // The first one makes the keys and the database.
    const first = await startDaemon({ dataDir, isDev: false, onEnd });
    await first.stop();
    await plantOld(dataDir);
    const daemon = await startDaemon({ dataDir, isDev: false, args: ["--config", file], onEnd });
    return new ReloadWorld(daemon, file);
  }

  /** SIGHUP with these settings in the file, over the base. Resolves when they are in force. */
  async reload(settings: Settings): Promise<void> {
    writeSettings(this.#file, settings);
    await this.hangUp("ok");
  }

  /** SIGHUP with a file of any text, which is not taken up. */
  async reloadBad(text: string): Promise<void> {
    writeFileSync(this.#file, text);
    await this.hangUp("failed");
  }

  async hangUp(result: "ok" | "failed"): Promise<void> {
    const name = `hookd_config_reloads_total{result="${result}"}`;
    const before = await this.metric(name);
    this.daemon.process.kill("SIGHUP");
    // Asked of the director's thread, behind the new configuration.
    await until("the configuration is read again", async () => (await this.metric(name)) > before);
  }

  async metric(series: string): Promise<number> {
    const { text } = await this.daemon.call("GET", "/metrics");
    const line = text.split("\n").find((one) => one.startsWith(`${series} `));
    if (!line) throw new Error(`there is no ${series}`);
    return Number(line.slice(series.length + 1));
  }

  /** A name that no other test has: of an event, or a user. */
  name(): string {
    this.#names += 1;
    return `test${this.#names}`;
  }

  create(event: string, url: string, more: object = {}): Promise<ApiAnswer> {
    return this.daemon.call("POST", "/v1/webhooks", { event_id: event, callback_url: url, ...more });
  }

  /** Registers for an event with a name of its own. */
  async webhook(url: string, more: object = {}): Promise<{ event: string; id: string }> {
    const event = this.name();
    const { status, json, text } = await this.create(event, url, more);
    if (status !== 201) throw new Error(text);
    return { event, id: json.id };
  }

  publish(event: string, more: object = {}): Promise<ApiAnswer> {
    return this.daemon.call("POST", "/v1/events", { event_id: event, payload: { n: 1 }, ...more });
  }

  /** Publishes, and waits until the delivery is as it should be. */
  async deliver(event: string, wanted: object, more: object = {}): Promise<ApiAnswer["json"]> {
    const { json, text } = await this.publish(event, more);
    const id = json?.deliveries?.[0]?.id;
    if (id === undefined) throw new Error(text);
    return this.delivery(id, wanted);
  }

  async delivery(id: string, wanted: object): Promise<ApiAnswer["json"]> {
    let last = "";
    return until(`the delivery is ${JSON.stringify(wanted)}`, async () => {
      const { json, text } = await this.daemon.call("GET", `/v1/deliveries/${id}`);
      last = text;
      return Object.entries(wanted).every(([name, value]) => json[name] === value) ? json : null;
    }).catch((error: Error) => {
      throw new Error(`${error.message}, but it is ${last}`);
    });
  }

  /** Waits until the webhook's lane is as it should be. */
  lane(id: string, wanted: object): Promise<ApiAnswer["json"]> {
    return until(`the lane is ${JSON.stringify(wanted)}`, async () => {
      const { json } = await this.daemon.call("GET", `/v1/webhooks/${id}`);
      return Object.entries(wanted).every(([name, value]) => json.live[name] === value) ? json.live : null;
    });
  }

  async oldCount(status: "success" | "dead"): Promise<number> {
    const { json } = await this.daemon.call("GET", `/v1/deliveries?user_id=old&status=${status}`);
    return json.data.length;
  }
}

function writeSettings(file: string, settings: Settings): void {
  writeFileSync(file, JSON.stringify({ ...BASE, ...settings }));
}

async function plantOld(dataDir: string): Promise<void> {
  const adapter: Adapter = {
    create: (clock) => createSqliteStore({ dataDir, dedupeWindowMs: WINDOW_MS, clock }),
    crash: () => {
      throw new Error("not here");
    },
    cleanup: async () => {},
  };
  const world = await World.open(adapter);
  const webhook = await world.webhook({ userId: "old" });
  for (const end of [{ status: "success" }, { status: "dead", reason: "exhausted" }] as const) {
    await world.publish({ webhooks: [webhook] });
    const leased = await world.leaseOne(webhook.id);
    await world.settle(leased, end);
  }
  await world.settleDown();
  await world.store.close();
}
