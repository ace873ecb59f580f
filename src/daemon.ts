import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { MessageChannel, type Worker } from "node:worker_threads";
import type { Logger } from "pino";
import { type AcceptTracing, createAcceptTracing } from "./api/accept-tracing.ts";
import type { ApiDeps } from "./api/context.ts";
import { type ApiCounters, createApiCounters } from "./api/counters.ts";
import { createApi, type HookdApi } from "./api/server.ts";
import { replaceConfig } from "./config/changes.ts";
import type { Config } from "./config/config.ts";
import type { ConfigSource, Resolved } from "./config/load.ts";
import { type AddressPolicy, compileAddressPolicy } from "./domain/address.ts";
import { SCOPES } from "./domain/key.ts";
import { hashKey, makeKey } from "./domain/key-text.ts";
import { REFUSALS } from "./domain/problem.ts";
import { createSealer } from "./domain/seal.ts";
import type { Pause } from "./domain/setting.ts";
import type { Span } from "./domain/span.ts";
import type { Engine } from "./engine/port.ts";
import { growHeapsWithRate } from "./heap-growth.ts";
import { systemClock } from "./lib/clock.ts";
import { startThread } from "./lib/thread.ts";
import { systemTimers } from "./lib/timers.ts";
import { loadMasterKey, syncDirectory, writePrivate } from "./master-key.ts";
import { createLog } from "./observe/log.ts";
import { renderMetrics } from "./observe/metrics.ts";
import type { SpanExporter } from "./observe/span-exporter.ts";
import { ownAddresses } from "./own-addresses.ts";
import { createReload, type Reload } from "./reload.ts";
import { createEngineClient } from "./threads/engine-client.ts";
import type { DirectorData, FromDirector, SenderData, ToDirector } from "./threads/messages.ts";
import { VERSION } from "./version.ts";

export interface Daemon {
  readonly address: string;
  readonly adminKeyPath: string;
  readonly isFirstStart: boolean;
  /** The admin key's text, on the first start only. */
  readonly adminKey: string | null;
  /** Nothing is sent until somebody resumes. */
  readonly pause: Pause | null;
  /** Resolves when hookd cannot go on: the process should end with an error. */
  readonly failed: Promise<Error>;
  /** Reads the configuration again, and takes up what may change live. */
  readonly reload: () => void;
  /** Takes no more, lets what is in flight end (`delivery.drain`), makes everything durable. */
  stop(): Promise<void>;
}

export interface DaemonOptions {
  /** The operator says that the wall clock is right, after a gap of more than an hour. */
  readonly acceptClock?: boolean;
  /** Where the configuration is read from again by `reload`. */
  readonly source: ConfigSource;
}

/** Sender threads: one less than there are cores for the other two threads to share, 4 at most. */
const SENDERS_MAX = 4;
/** So many replaced senders within a minute end the process: something is wrong that a restart may mend. */
const RESTARTS_MAX = 5;
/**
 * The young part of each thread's heap. Node lets it grow to 128 MiB, for the sake of programs that keep what they make;
 * here all but some 20 MiB a thread is gone after milliseconds. (The API's own is in bin/hookd.)
 */
const DIRECTOR_YOUNG_MIB = 24;
const SENDER_YOUNG_MIB = 12;
const RESTART_WINDOW_MS = 60_000;
/** At a stop, after all else has ended, for clients that are still sending a request or reading its answer. */
const CLOSE_MAX_MS = 1_000;

/** Starts hookd: director, senders, API, in this order. Throws what an operator can act on. */
export async function startDaemon(started: Resolved, options: DaemonOptions): Promise<Daemon> {
  const { config } = started;
  // What hookd writes is for its own user only: the database, its log, the keys.
  process.umask(0o077);
  makeDataDir(config.dataDir);
  const log = createLog(config.log.level, VERSION);
  const apiLog = log.child({ thread: "api" });
  const masterKey = loadMasterKey(config);
  const sealer = createSealer(masterKey, randomBytes);
  const failure = Promise.withResolvers<Error>();
  const exporter = await createExporter(config, log);
  const threads = startThreads(config, masterKey, sealer.keyId, options, log, {
    onFailed: failure.resolve,
    onSpans: (spans) => {
      for (const span of spans) exporter?.add(span);
    },
  });
  await threads.ready;
  const { engine } = threads;
  const counters = createApiCounters();
  let policy = policyOf(config);
  const reload = createReload({
    source: options.source,
    started,
    log,
    now: systemClock.now,
    apply(next) {
      replaceConfig(config, next);
      log.level = config.log.level;
      apiLog.level = config.log.level;
      policy = policyOf(config);
      threads.configChanged();
    },
  });
  const { api, address } = await openApi(threads, {
    engine,
    config,
    clock: systemClock,
    log: apiLog,
    sealer,
    policy: { check: (address) => policy.check(address) },
    version: VERSION,
    counters,
    tracing: tracingOf(config, exporter),
    metrics: metricsOf(engine, counters, threads.restarts, reload, exporter),
  });
  const adminKeyPath = join(config.dataDir, "admin.key");
  const adminKey = await ensureAdminKey(engine, adminKeyPath);
  const endHeapGrowth = growHeapsWithRate({
    accepted: () => counters.accepted,
    clock: systemClock,
    timers: systemTimers,
  });
  log.info({ address, data_dir: config.dataDir }, "hookd is ready");
  return {
    address,
    adminKeyPath,
    isFirstStart: adminKey !== null,
    adminKey,
    pause: await engine.getPause(),
    failed: failure.promise,
    reload: reload.reload,
    async stop() {
      log.info("hookd is stopping");
      endHeapGrowth();
      threads.beginStop();
      const isClosed = api.close().then(() => true);
      await threads.stop();
      if (!(await Promise.race([isClosed, sleep(CLOSE_MAX_MS)]))) api.destroyConnections();
      await isClosed;
      await exporter?.stop();
      log.info("hookd has stopped");
    },
  };
}

async function openApi(threads: Threads, deps: ApiDeps): Promise<{ api: HookdApi; address: string }> {
  try {
    const api = await createApi(deps);
    const { host, port } = await api.listen();
    return { api, address: `http://${host.includes(":") ? `[${host}]` : host}:${port}` };
  } catch (error) {
    await threads.stop();
    throw error;
  }
}

/** Null where traces are off: then OpenTelemetry's libraries are not even loaded. */
async function createExporter({ trace }: Config, log: Logger): Promise<SpanExporter | null> {
  const { endpoint, headers } = trace;
  if (endpoint === null) return null;
  const { createSpanExporter } = await import("./observe/span-exporter.ts");
  return createSpanExporter({ endpoint, headers, version: VERSION, timers: systemTimers, log });
}

function tracingOf(config: Config, exporter: SpanExporter | null): AcceptTracing | null {
  if (exporter === null) return null;
  return createAcceptTracing({
    sample: () => config.trace.sample,
    clock: systemClock,
    random: Math.random,
    randomBytes,
    onSpan: (span) => exporter.add(span),
  });
}

interface Threads {
  readonly engine: Engine;
  readonly ready: Promise<void>;
  readonly restarts: () => number;
  /** The director is told, and tells the senders. */
  configChanged(): void;
  beginStop(): void;
  stop(): Promise<void>;
}

interface ThreadHooks {
  /** hookd cannot go on. */
  readonly onFailed: (error: Error) => void;
  readonly onSpans: (spans: readonly Span[]) => void;
}

function startThreads(
  config: Config,
  masterKey: Uint8Array,
  keyId: string,
  options: DaemonOptions,
  log: Logger,
  { onFailed, onSpans }: ThreadHooks,
): Threads {
  const senderCount =
    config.delivery.senders === "auto" ? sendersFor(availableParallelism()) : config.delivery.senders;
  const channels = Array.from({ length: senderCount }, () => new MessageChannel());
  const directorData: DirectorData = {
    config,
    version: VERSION,
    keyId,
    acceptClock: options.acceptClock ?? false,
    senderPorts: channels.map((channel) => channel.port1),
  };
  const director = startThread("threads/director", {
    workerData: directorData,
    transferList: channels.map((channel) => channel.port1),
    resourceLimits: { maxYoungGenerationSizeMb: DIRECTOR_YOUNG_MIB },
    name: "director",
  });
  const { engine, receive } = createEngineClient(director);
  const ready = Promise.withResolvers<void>();
  const stopped = Promise.withResolvers<void>();
  let isStopping = false;
  let restarts = 0;
  director.on("message", (message: FromDirector) => {
    receive(message);
    if (message.kind === "spans") onSpans(message.spans);
    if (message.kind === "ready") ready.resolve();
    if (message.kind === "failed") {
      isStopping = true;
      ready.reject(new Error(message.message));
      for (const sender of senders) void sender.terminate();
      void director.terminate();
    }
    if (message.kind === "stopped") stopped.resolve();
  });
  director.on("error", (error) => {
    log.fatal({ err: error }, "the director failed: hookd ends, and recovers when it is started again");
    ready.reject(error);
    onFailed(error instanceof Error ? error : new Error(String(error)));
  });
  director.on("exit", () => stopped.resolve());

  const recentDeaths: number[] = [];
  const startSender = (index: number, channel: MessageChannel): Worker => {
    const senderData: SenderData = {
      config,
      version: VERSION,
      masterKey,
      ownAddresses: ownAddresses(config),
      senders: channels.length,
      port: channel.port2,
    };
    const sender = startThread("threads/sender", {
      workerData: senderData,
      transferList: [channel.port2],
      resourceLimits: { maxYoungGenerationSizeMb: SENDER_YOUNG_MIB },
      name: `sender-${index}`,
    });
    sender.on("error", (error) =>
      log.error({ err: error, sender: index }, "a sender failed and is replaced"),
    );
    sender.on("exit", () => {
      if (isStopping) return;
      restarts += 1;
      const now = performance.now();
      recentDeaths.push(now);
      while ((recentDeaths[0] ?? now) < now - RESTART_WINDOW_MS) recentDeaths.shift();
      if (recentDeaths.length > RESTARTS_MAX) {
        onFailed(
          new Error(
            `${recentDeaths.length} sender threads died within a minute: see the log for their errors`,
          ),
        );
        return;
      }
      const fresh = new MessageChannel();
      senders[index] = startSender(index, fresh);
      const message: ToDirector = { kind: "sender", index, port: fresh.port1 };
      director.postMessage(message, [fresh.port1]);
    });
    return sender;
  };
  const senders: Worker[] = channels.map((channel, index) => startSender(index, channel));

  return {
    engine,
    ready: ready.promise,
    restarts: () => restarts,
    configChanged: () => director.postMessage({ kind: "config", config } satisfies ToDirector),
    beginStop() {
      isStopping = true;
      director.postMessage({ kind: "stop" } satisfies ToDirector);
    },
    async stop() {
      isStopping = true;
      director.postMessage({ kind: "stop" } satisfies ToDirector);
      await stopped.promise;
      await Promise.all([director.terminate(), ...senders.map((sender) => sender.terminate())]);
    },
  };
}

function sendersFor(cores: number): number {
  return Math.max(1, Math.min(SENDERS_MAX, Math.floor((cores - 2) / 2)));
}

/**
 * Makes the directory and those above it. Not by mkdir's `recursive`: where a file system refuses with ENOENT below a
 * directory that exists (/proc), Node tries again without end.
 */
function makeDataDir(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  const parent = dirname(path);
  if (parent !== path) makeDataDir(parent);
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`the data directory ${path} cannot be made: ${why}. Name another one with --data-dir`);
  }
}

function policyOf(config: Config): AddressPolicy {
  const { allow, allowLoopback, nat64 } = config.net;
  return compileAddressPolicy({ allow, allowLoopback, nat64, own: ownAddresses(config) });
}

/**
 * On the first start an admin key is made, and left where the command line finds it. Its text is durable under another
 * name before the store knows the key, and gets its name last: a crash in between would leave a key that nobody has.
 * A restore leaves such a draft too.
 */
async function ensureAdminKey(engine: Engine, path: string): Promise<string | null> {
  if (statSync(path, { throwIfNoEntry: false })) return null;
  const draft = `${path}.new`;
  const { items } = await engine.listKeys(null, { limit: 1, before: null });
  const isDrafted = statSync(draft, { throwIfNoEntry: false }) !== undefined;
  if (items.length > 0 && !isDrafted) return null;
  if (!isDrafted) writePrivate(draft, `${makeKey(randomBytes).text}\n`);
  const text = readFileSync(draft, "utf8").trim();
  const hash = hashKey(text);
  if ((await engine.findKey(hash)) === null) {
    await engine.createKey({ userId: null, scopes: [...SCOPES], name: "admin", hash, expiresAt: null });
  }
  renameSync(draft, path);
  syncDirectory(dirname(path));
  return text;
}

/** The numbers of all threads as Prometheus text. */
function metricsOf(
  engine: Engine,
  api: ApiCounters,
  restarts: () => number,
  reload: Reload,
  exporter: SpanExporter | null,
): () => Promise<string> {
  const lag = monitorEventLoopDelay({ resolution: 10 });
  lag.enable();
  return async () => {
    const stats = await engine.stats();
    const lagSeconds = lag.percentile(99) / 1e9;
    lag.reset();
    const cpu = process.cpuUsage();
    const spans = exporter?.counts() ?? { sent: 0, refused: 0, dropped: 0 };
    return renderMetrics({
      counters: {
        ...stats.counters,
        // The API sees what the director refuses and what it refuses itself.
        ...Object.fromEntries(
          REFUSALS.map((code) => [`hookd_events_refused_total{code="${code}"}`, api.refused[code] ?? 0]),
        ),
        hookd_events_unmatched_total: api.unmatched,
        hookd_registry_hits_total: api.registryHits,
        hookd_registry_misses_total: api.registryMisses,
        hookd_stream_skipped_total: api.streamSkipped,
        hookd_sender_restarts_total: restarts(),
        ...reload.counters(),
        ...Object.fromEntries(
          Object.entries(spans).map(([result, count]) => [
            `hookd_trace_spans_total{result="${result}"}`,
            count,
          ]),
        ),
        hookd_cpu_seconds_total: (cpu.user + cpu.system) / 1e6,
      },
      gauges: {
        ...stats.gauges,
        ...reload.gauges(),
        hookd_trace_failing: exporter?.isFailing() ? 1 : 0,
        hookd_event_loop_lag_seconds: lagSeconds,
        hookd_stream_clients: api.streamClients,
        hookd_up_seconds: process.uptime(),
        hookd_memory_rss_bytes: process.memoryUsage.rss(),
      },
      histograms: stats.histograms,
    });
  };
}
