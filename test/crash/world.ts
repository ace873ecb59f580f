import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished } from "vitest";
import { connect } from "../../src/store/sqlite/connection.ts";
import { type DaemonOptions, HOOKD, startDaemon, type TestDaemon } from "../support/daemon.ts";
import type { Kill, Ledger } from "../support/ledger.ts";
import type { Post } from "../support/publisher.ts";
import { until } from "../support/world.ts";

/** The long form, which also asserts times (`npm run gates`). */
export const IS_GATES = (process.env.HOOKD_GATES ?? "") !== "";

/** Drawn anew for each run, and printed: HOOKD_SEED gives one. */
export function seedOf(name: string): number {
  const seed = Number(process.env.HOOKD_SEED ?? Math.floor(Math.random() * 0x1_0000_0000));
  console.log(`${name}: HOOKD_SEED=${seed}`);
  return seed;
}

/** Numbers in [0, 1) that follow from the seed (mulberry32, public domain). */
export function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return ((word ^ (word >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/** SIGKILL now. Resolves when the daemon is gone, and the receivers have read all that it had sent. */
export async function killDaemon(daemon: TestDaemon, receivers: Receivers): Promise<Kill> {
  const atMono = performance.now();
  await daemon.kill();
  await receivers.disconnected();
  return { atMono, endMono: performance.now() };
}

/** Starts hookd and kills it after `ms`, ready or not: most of all in its recovery. */
export async function killDuringStart(
  dataDir: string,
  port: number,
  ms: number,
  receivers: Receivers,
): Promise<Kill> {
  const args = ["serve", "--dev", "--data-dir", dataDir, "--listen", `127.0.0.1:${port}`];
  const child = spawn(HOOKD, args, { env: { PATH: process.env.PATH ?? "" }, stdio: "ignore" });
  const exited = once(child, "exit");
  await sleep(ms);
  const atMono = performance.now();
  child.kill("SIGKILL");
  await exited;
  await receivers.disconnected();
  return { atMono, endMono: performance.now() };
}

const START_MAX_MS = 30_000;

/**
 * The same daemon again, where publishers look for it. A port that something else took meanwhile is waited for.
 */
export async function restartDaemon(options: DaemonOptions): Promise<TestDaemon> {
  for (let tries = 1; ; tries += 1) {
    try {
      const isLate = sleep(START_MAX_MS, null, { ref: false }).then(() => {
        throw new Error(`hookd was not ready ${START_MAX_MS} ms after it was started on ${options.dataDir}`);
      });
      return await Promise.race([startDaemon(options), isLate]);
    } catch (error) {
      if (tries === 10 || !String(error).includes("is in use")) throw error;
      await sleep(100);
    }
  }
}

/**
 * How long before a kill the earlier copy of a duplicate may have come: its outcome was not yet stored. The kill loop,
 * with its steady load, always asserts a second; where a test publishes or replays as fast as it can, on a machine
 * that runs other tests too, attempts queue for longer.
 */
export const DUPLICATE_WITHIN_MS = 1_000;
export const BURST_DUPLICATE_WITHIN_MS = IS_GATES ? 1_000 : 4_000;

/** A port that no outgoing connection is given: below the ephemeral ones. */
export async function fixedPort(random: () => number): Promise<number> {
  for (let tries = 0; tries < 50; tries += 1) {
    const port = 12_000 + Math.floor(random() * 18_000);
    const server = createTcpServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
  throw new Error("no free port among 50");
}

export interface Receivers {
  /** Where the webhook of this name is called back. */
  urlOf(webhook: string): string;
  /** The status that it is answered with; 200 unless set. */
  answer: (webhook: string, uid: string) => number;
  /** Requests whose body was another event's. */
  readonly mixedUp: readonly string[];
  /** When the first request came after this moment; null: none yet. */
  firstAfter(atMono: number): number | null;
  /** Resolves when no connection is open: what a process that is gone had sent has been read. */
  disconnected(): Promise<void>;
}

const ORIGINS = 6;

/** Receivers of any number of webhooks, on a few ports: the path names the webhook. All that comes is in the ledger. */
export async function startReceivers(ledger: Ledger): Promise<Receivers> {
  const mixedUp: string[] = [];
  let arrivals: number[] = [];
  let open = 0;
  const servers = Array.from({ length: ORIGINS }, () =>
    createServer((request, response) => {
      const webhook = (request.url ?? "").slice(1);
      const uid = String(request.headers["webhook-id"]);
      let body = "";
      request.setEncoding("latin1");
      request.on("data", (chunk: string) => {
        body += chunk;
      });
      request.on("error", () => {});
      request.on("end", () => {
        if (!body.includes(`"${uid}"`)) mixedUp.push(`${uid}: ${body.slice(0, 100)}`);
        const status = receivers.answer(webhook, uid);
        const attempt = Number(request.headers["hookd-attempt"]);
        const atMono = performance.now();
        arrivals.push(atMono);
        ledger.received({ uid, webhook, attempt, atMono, isAccepted: status < 300 });
        response.writeHead(status, { "content-length": 2 });
        response.end("ok");
      });
    }),
  );
  for (const server of servers) {
    server.on("connection", (socket) => {
      open += 1;
      socket.once("close", () => {
        open -= 1;
      });
    });
    server.keepAliveTimeout = 120_000;
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  }
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  onTestFinished(async () => {
    for (const server of servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });
  const receivers: Receivers = {
    urlOf(webhook) {
      const hash = [...webhook].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7);
      return `http://127.0.0.1:${ports[hash % ORIGINS]}/${webhook}`;
    },
    answer: () => 200,
    mixedUp,
    firstAfter(fromMono) {
      arrivals = arrivals.filter((atMono) => atMono > fromMono);
      return arrivals[0] ?? null;
    },
    async disconnected() {
      // Twice in a row: connections may wait to be accepted.
      for (let quiet = 0, looks = 0; quiet < 2; looks += 1) {
        if (looks > 1_000) throw new Error(`${open} connections of a process that is gone are still open`);
        await sleep(10);
        quiet = open === 0 ? quiet + 1 : 0;
      }
    },
  };
  return receivers;
}

export async function addWebhook(
  daemon: TestDaemon,
  receivers: Receivers,
  userId: string,
  eventId: string,
  retry?: unknown,
): Promise<void> {
  const { status, text } = await daemon.call("POST", "/v1/webhooks", {
    user_id: userId,
    event_id: eventId,
    callback_url: receivers.urlOf(webhookName(userId, eventId)),
    ...(retry === undefined ? {} : { retry }),
  });
  expect(status, text).toBe(201);
}

/** The webhook's name in the ledger. */
export function webhookName(userId: string, eventId: string): string {
  return `${userId}/${eventId}`;
}

export function postOf({ userId, eventId }: { userId: string; eventId: string }, uid: string): Post {
  const payload = `{"uid":"${uid}","filler":"${"x".repeat(200)}"}`;
  return { uid, userId, eventId, webhook: webhookName(userId, eventId), payload };
}

/** At most 1,000 events in one call; each must be accepted, with one delivery. */
export async function publishBatch(
  daemon: TestDaemon,
  posts: readonly Post[],
  ledger: Ledger,
): Promise<{ event_uid: string; deliveries: { id: string }[]; duplicate: boolean }[]> {
  for (const post of posts) ledger.attempted(post.uid, post.webhook);
  const { status, json, text } = await daemon.call(
    "POST",
    "/v1/events/batch",
    `[${posts
      .map(
        ({ uid, userId, eventId, payload }) =>
          `{"event_id":"${eventId}","user_id":"${userId}","event_uid":"${uid}","payload":${payload}}`,
      )
      .join(",")}]`,
  );
  expect(status, text).toBe(202);
  return posts.map((post, index) => {
    const { accepted } = json.results[index];
    // Not an `expect` for each: a hundred thousand of them keep the receivers waiting for seconds.
    if (accepted?.event_uid !== post.uid || accepted.delivery_count !== 1) {
      throw new Error(`${post.uid} was answered ${JSON.stringify(json.results[index])}`);
    }
    ledger.acknowledged(post.uid, post.webhook);
    return accepted;
  });
}

export async function replayDead(daemon: TestDaemon, filter: Record<string, unknown>): Promise<string> {
  const { status, json, text } = await daemon.call("POST", "/v1/dlq/replay", filter);
  expect(status, text).toBe(202);
  return json.job_id;
}

/** A number of /metrics. */
export async function metric(daemon: TestDaemon, name: string): Promise<number> {
  const { text } = await daemon.call("GET", "/metrics");
  const found = new RegExp(`^${name}(?:\\{[^}]*\\})? ([0-9.e+-]+)$`, "m").exec(text);
  if (!found) throw new Error(`/metrics has no ${name}`);
  return Number(found[1]);
}

export function untilIdle(daemon: TestDaemon, ms: number): Promise<unknown> {
  return until("no delivery is open", async () => (await metric(daemon, "hookd_queue_depth")) === 0, ms);
}

/** After the daemon has ended: what SQLite itself says of the file. */
export function checkIntegrity(dataDir: string): void {
  const db = connect(join(dataDir, "hookd.db"));
  try {
    expect(db.pragma("integrity_check")).toBe("ok");
  } finally {
    db.close();
  }
}
