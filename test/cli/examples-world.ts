import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseSecret } from "../../src/domain/secret.ts";
import { legacySignature, standardSignature } from "../../src/domain/sign.ts";
import { HOOKD, startDaemon, type TestDaemon } from "../support/daemon.ts";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { temporaryDirectory, until } from "../support/world.ts";

/** What examples name: files beside them, and objects that a daemon has. */
export interface ExamplesWorld {
  readonly cwd: string;
  envOf(command: string): Record<string, string>;
  /** Makes what the command needs, and puts real names in place of the example's. */
  place(line: string, command: string): Promise<string>;
}

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SIGNED_AT = 1_700_000_000;

/** Commands that ask no daemon, or bring their own. */
const ALONE = [
  "serve",
  "verify",
  "bench",
  "config check",
  "config print",
  "completion",
  "version",
  "restore",
];

/** A daemon, a receiver that takes what comes, and a directory with every file that the examples read. */
export async function setup(commands: readonly string[]): Promise<ExamplesWorld> {
  const cwd = temporaryDirectory();
  writeFiles(cwd);
  const receiver = await startReceiver();
  if (commands.includes("restore")) await writeBackup(cwd);
  const daemon = commands.every((command) => ALONE.includes(command)) ? null : await startDaemon();
  const fixtures = daemon === null ? null : new Fixtures(daemon, receiver);
  const env = {
    PATH: `${join(cwd, "bin")}:${process.env.PATH ?? ""}`,
    HOME: cwd,
    TMPDIR: cwd,
    NO_COLOR: "1",
  };
  return {
    cwd,
    // What tells clients where the daemon is would be in the way of a daemon of its own.
    envOf: (command) =>
      daemon === null || ALONE.includes(command)
        ? env
        : { ...env, HOOKD_SERVER: daemon.server, HOOKD_API_KEY: daemon.key, HOOKD_DATA_DIR: daemon.dataDir },
    async place(line, command) {
      const names = ALONE.includes(command) ? {} : ((await fixtures?.of(command)) ?? {});
      const named = line.replaceAll(
        /\b(wh|dlv|job|key)_[0-9a-z]{26}\b/g,
        (id, kind: string) => names[kind] ?? id,
      );
      return named
        .replaceAll(/https:\/\/example\.com\b|http:\/\/127\.0\.0\.1:(?:9000|3000)\b/g, receiver.url)
        .replaceAll("/etc/hookd.yaml", join(cwd, "hookd.yaml"))
        .replaceAll("/mnt/backups", join(cwd, "backups"))
        .replaceAll("/var/lib/hookd", join(cwd, "data"));
    },
  };
}

function writeFiles(cwd: string): void {
  const body = '{"id": 1}';
  const bytes = Buffer.from(body);
  const signature = standardSignature(parseSecret(SECRET)!, "evt_1", SIGNED_AT, bytes);
  const xSignature = `t=${SIGNED_AT},v1=${legacySignature(SECRET, SIGNED_AT, bytes)}`;
  const request = [
    "POST /hooks HTTP/1.1",
    "webhook-id: evt_1",
    `webhook-timestamp: ${SIGNED_AT}`,
    `webhook-signature: ${signature}`,
    `x-signature: ${xSignature}`,
    "",
    body,
  ];
  const files: Readonly<Record<string, string>> = {
    "invoice.json": '{"total": 10.50}',
    "events.ndjson":
      '{"event_id":"user.created","payload":{"id":1}}\n{"event_id":"user.created","payload":{"id":2}}\n',
    "payloads.ndjson": '{"id":1}\n{"id":2}\n',
    "hookd.yaml": "delivery:\n  timeout: 10s\n",
    "secret.txt": `${SECRET}\n`,
    "body.json": body,
    "x-signature.txt": xSignature,
    "request.http": request.join("\r\n"),
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(cwd, name), text);
  mkdirSync(join(cwd, "backups"));
  mkdirSync(join(cwd, "bin"));
  symlinkSync(HOOKD, join(cwd, "bin/hookd"));
}

/** What another hookd's backup left, where the examples look for it. */
async function writeBackup(cwd: string): Promise<void> {
  const daemon = await startDaemon();
  const path = await new Fixtures(daemon, await startReceiver()).backup("before");
  for (const place of ["hookd.db", "backups/hookd.db"]) copyFileSync(path, join(cwd, place));
  copyFileSync(join(daemon.dataDir, "master.key"), join(cwd, "hookd.db.master.key"));
}

type Names = Readonly<Record<string, string>>;

/** Objects of a daemon by what the examples' ids begin with: each example gets its own. */
class Fixtures {
  readonly #daemon: TestDaemon;
  readonly #receiver: Receiver;
  #count = 0;

  constructor(daemon: TestDaemon, receiver: Receiver) {
    this.#daemon = daemon;
    this.#receiver = receiver;
  }

  async of(command: string): Promise<Names> {
    switch (command) {
      case "deliveries retry":
        return this.#dead(this.#nextEvent());
      case "dlq replay":
      case "dlq purge":
        return this.#dead("invoice.paid");
      case "deliveries cancel":
        return this.#open();
      case "jobs cancel":
        return this.#running();
      case "events send":
        await this.#webhook("user.created");
        return {};
      case "backups delete":
        await this.backup("before-upgrade");
        return {};
      // They make webhooks of their own.
      case "webhooks add":
      case "listen":
        return {};
      default:
        return this.#delivered();
    }
  }

  /** Gives the file's path. */
  async backup(name: string): Promise<string> {
    await this.#post("/v1/backups", { name });
    const made = await until("the backup is made", async () => {
      const body = await this.#get(`/v1/backups/${name}`);
      return body.state === "done" ? body : null;
    });
    return made.path;
  }

  /** A webhook with one delivery that was taken, a job that is done, and a key. */
  async #delivered(): Promise<Names> {
    const event = this.#nextEvent();
    const wh = await this.#webhook(event);
    const dlv = await this.#publish(event);
    await this.#ended(dlv, "success");
    const job = (await this.#post("/v1/deliveries/replay", { ids: [dlv] })).job_id;
    await until("the job is done", async () => (await this.#get(`/v1/jobs/${job}`)).status === "done");
    await this.#ended(dlv, "success");
    const key = (await this.#post("/v1/keys", { scopes: ["read"] })).id;
    return { wh, dlv, job, key };
  }

  /** One that was refused; its receiver has been mended since. One of an event at a time: more are asked about. */
  async #dead(event: string): Promise<Names> {
    const wh = await this.#webhook(event, { retry: { schedule: [] } });
    const ended = await until("none is on its way", async () => {
      const all = (await this.#get(`/v1/deliveries?event_id=${event}`)).data as {
        id: string;
        status: string;
      }[];
      return all.every(({ status }) => status === "success" || status === "dead") ? all : null;
    });
    const left = ended.find(({ status }) => status === "dead");
    if (left !== undefined) return { wh, dlv: left.id };
    this.#receiver.answer = () => ({ status: 500 });
    const dlv = await this.#publish(event);
    await this.#ended(dlv, "dead");
    this.#receiver.answer = () => ({ status: 200 });
    return { wh, dlv };
  }

  async #open(): Promise<Names> {
    const event = this.#nextEvent();
    const wh = await this.#webhook(event);
    await this.#post(`/v1/webhooks/${wh}/pause`);
    return { wh, dlv: await this.#publish(event) };
  }

  /** A job that takes its time: one delivery a second, of many. */
  async #running(): Promise<Names> {
    const event = this.#nextEvent();
    const wh = await this.#webhook(event);
    const ids: string[] = [];
    for (let index = 0; index < 50; index += 1) ids.push(await this.#publish(event));
    for (const id of ids) await this.#ended(id, "success");
    const job = (await this.#post("/v1/deliveries/replay", { webhook_id: wh, rate: 1 })).job_id;
    return { wh, job };
  }

  #nextEvent(): string {
    this.#count += 1;
    return `fixture.n${this.#count}`;
  }

  async #webhook(event_id: string, more: object = {}): Promise<string> {
    const { callback_url = `${this.#receiver.url}/hooks` } = more as { callback_url?: string };
    const answer = await this.#daemon.call("PUT", "/v1/webhooks", { event_id, callback_url, ...more });
    if (answer.status >= 300) throw new Error(answer.text);
    return answer.json.id;
  }

  async #publish(event_id: string): Promise<string> {
    const accepted = await this.#post("/v1/events", { event_id, payload: { id: 1 } });
    return accepted.deliveries[0].id;
  }

  async #ended(id: string, status: string): Promise<void> {
    await until(
      `${id} is ${status}`,
      async () => (await this.#get(`/v1/deliveries/${id}`)).status === status,
    );
  }

  async #get(path: string) {
    return (await this.#daemon.call("GET", path)).json;
  }

  async #post(path: string, body?: object) {
    const answer = await this.#daemon.call("POST", path, body);
    if (answer.status >= 300) throw new Error(`${path}: ${answer.text}`);
    return answer.json;
  }
}
