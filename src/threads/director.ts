import { statfsSync } from "node:fs";
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { replaceConfig } from "../config/changes.ts";
import { formatId } from "../domain/ids.ts";
import { Problem } from "../domain/problem.ts";
import { MASTER_KEY_ID } from "../domain/setting.ts";
import type { Span } from "../domain/span.ts";
import { removeLeftovers } from "../engine/backups.ts";
import { Director } from "../engine/director.ts";
import { ByteReader } from "../lib/bytes.ts";
import { systemClock } from "../lib/clock.ts";
import { Pacer } from "../lib/pacer.ts";
import { steadyClock } from "../lib/steady-clock.ts";
import { systemTimers } from "../lib/timers.ts";
import { attemptLog } from "../observe/attempt-log.ts";
import { createLog } from "../observe/log.ts";
import { createSqliteStore } from "../store/sqlite/sqlite-store.ts";
import type { CallName, DirectorData, FromDirector, ProblemValue, ToDirector } from "./messages.ts";
import { newWriter, readRequest, writeOutcome } from "./publish-codec.ts";
import { RemoteArchive } from "./remote-archive.ts";
import { RemoteSender } from "./remote-sender.ts";

/** Entry of the director's thread: builds the store and the director, and serves the API's thread. */
if (!parentPort) throw new Error("threads/director.ts runs as a worker thread only");
const port = parentPort;
const data = workerData as DirectorData;
const { config } = data;

const log = createLog(config.log.level, data.version).child({ thread: "director" });
const clock = steadyClock(systemClock);
const store = createSqliteStore({
  dataDir: config.dataDir,
  dedupeWindowMs: config.limits.dedupeWindowMs,
  isCheckpointedAside: true,
  clock,
});
const senders = data.senderPorts.map((senderPort) => new RemoteSender(senderPort));
/** Spans wait longer still for their batch, so few messages are better than quick ones. */
const SPANS_EVERY_MS = 100;
let spans: Span[] = [];
const spanFlushes = new Pacer(flushSpans, SPANS_EVERY_MS, systemClock, systemTimers);
const { archiveDir } = config.retention;
const director: Director = new Director({
  config,
  store,
  archive: archiveDir === null ? null : new RemoteArchive(archiveDir, () => director.salt),
  senders,
  clock,
  timers: systemTimers,
  random: Math.random,
  acceptClock: data.acceptClock,
  admit: checkKey,
  freeBytes: () => {
    const { bavail, bsize } = statfsSync(config.dataDir);
    return bavail * bsize;
  },
  log: attemptLog(
    log,
    () => config.log.sampleSuccess,
    Math.random,
    () => director.salt,
  ),
  onSpan: config.trace.endpoint === null ? null : takeSpan,
  onFatal: (error) => {
    // Nothing may be acknowledged any more: the supervisor ends the process, and the next start recovers.
    throw error;
  },
});
for (const sender of senders) {
  sender.onOutcomes = (outcomes) => director.takeOutcomes(outcomes);
  sender.onFailures = ({ count, deliveryId, message }) => {
    const fields = {
      // A test of a webhook has none.
      ...(deliveryId > 0 ? { delivery_id: formatId("dlv", deliveryId, director.salt) } : {}),
      error: message,
      attempts: count,
    };
    log.error(fields, "attempts failed inside hookd: this is why the last one did");
  };
}

const writer = newWriter();
let answers: { group: number; count: number }[] = [];
/** How to end each watch. */
const watches = new Map<number, () => void>();
let knownRefusal: typeof director.refusal = "starting";
let isStopping = false;

port.on("message", (message: ToDirector) => {
  switch (message.kind) {
    case "publish":
      publish(message).catch(fatal);
      break;
    case "call":
      answerCall(message.call, message.method, message.args).catch(fatal);
      break;
    case "watch": {
      const { watch, filter } = message;
      watches.set(
        watch,
        director.watch(filter, (watched) => post({ kind: "watched", watch, watched })),
      );
      break;
    }
    case "unwatch":
      watches.get(message.watch)?.();
      watches.delete(message.watch);
      break;
    case "sender":
      senders[message.index]?.replace(message.port);
      director.senderLost(message.index);
      break;
    case "config":
      replaceConfig(config, message.config);
      log.level = config.log.level;
      for (const sender of senders) sender.putConfig(config);
      director.configChanged();
      tellRefusal();
      break;
    case "stop":
      if (!isStopping) stop().catch(fatal);
      isStopping = true;
      break;
  }
});

start().catch((error: unknown) => {
  post({ kind: "failed", message: error instanceof Error ? error.message : String(error) });
});

async function start(): Promise<void> {
  await director.start();
  // A directory that cannot be used is told to whoever asks for a backup.
  await removeLeftovers(config.backup.dir).catch(() => undefined);
  director.onWebhookChanged((userId) => post({ kind: "webhook", userId }));
  knownRefusal = null;
  post({ kind: "ready", salt: director.salt });
  setInterval(tellRefusal, 100).unref();
}

async function stop(): Promise<void> {
  const stopped = director.stop();
  tellRefusal();
  await stopped;
  flushSpans();
  post({ kind: "stopped" });
  port.close();
  process.exit(0);
}

/** Secrets sealed with another key could never be opened: refuse to start rather than fail every attempt. */
async function checkKey(): Promise<void> {
  const known = await store.getSetting(MASTER_KEY_ID);
  if (known === null) await store.putSetting(MASTER_KEY_ID, data.keyId);
  else if (known !== data.keyId) {
    await store.close();
    throw new Error(
      `the master key is not the one that ${join(config.dataDir, "hookd.db")} was written with. ` +
        "Put the right key in place (master.key in the data directory, or security.master_key_file)",
    );
  }
}

async function publish(message: Extract<ToDirector, { kind: "publish" }>): Promise<void> {
  const { group, count, bytes, outstanding } = message;
  const read = () => {
    const reader = new ByteReader(bytes);
    return Array.from({ length: count }, () => readRequest(reader));
  };
  const outcomes = await director.publishArrival({ count, bytes: bytes.length, outstanding, read });
  // Groups of one commit are answered in one message: they come here in the same turn.
  if (answers.length === 0) queueMicrotask(flushAnswers);
  answers.push({ group, count });
  for (const outcome of outcomes) writeOutcome(writer, outcome);
}

function flushAnswers(): void {
  const bytes = writer.take();
  port.postMessage({ kind: "published", answers, bytes } satisfies FromDirector, [bytes.buffer]);
  answers = [];
}

function takeSpan(span: Span): void {
  spans.push(span);
  spanFlushes.ask();
}

function flushSpans(): void {
  if (spans.length > 0) post({ kind: "spans", spans });
  spans = [];
}

async function answerCall(call: number, method: CallName, args: readonly unknown[]): Promise<void> {
  const target = director as unknown as Record<CallName, (...given: readonly unknown[]) => Promise<unknown>>;
  try {
    post({ kind: "returned", call, value: await target[method](...args) });
  } catch (error) {
    // One odd call must not end the thread that delivers for everybody; a disk that failed must.
    if (isStoreFailure(error)) throw error;
    if (!(error instanceof Problem))
      log.error({ err: error, method }, "a call failed: this is a bug, please report it");
    const problem = error instanceof Problem ? error : new Problem("internal", "hookd failed: see its log");
    post({ kind: "threw", call, problem: problemValue(problem) });
  }
  tellRefusal();
}

function isStoreFailure(error: unknown): boolean {
  return error instanceof Error && error.name === "StoreFailure";
}

function tellRefusal(): void {
  if (director.refusal === knownRefusal) return;
  knownRefusal = director.refusal;
  post({ kind: "refusal", refusal: knownRefusal });
}

function problemValue(problem: Problem): ProblemValue {
  const { code, message, details, retryAfterSeconds } = problem;
  return { code, detail: message, details, retryAfterSeconds };
}

function post(message: FromDirector): void {
  port.postMessage(message);
}

function fatal(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}
