import { setTimeout as sleep } from "node:timers/promises";
import { type Calibration, calibrate } from "./calibration.ts";
import { DaemonProcess, type HostProgram } from "./daemon-process.ts";
import { DiskWatch } from "./disk-watch.ts";
import { Ledger, type Tally } from "./ledger.ts";
import { type Load, type Owners, type Target, targetOf } from "./load.ts";
import { monoMs } from "./mono.ts";
import { type HostCpu, hostCpu, type ProcessCpu } from "./proc.ts";
import { Recorder, type Watch } from "./recorder.ts";
import { inTurn, type Registrations, register } from "./registration.ts";
import { type DaemonSample, type Metrics, Sampler, scrape } from "./sampler.ts";
import { type Fault, Site } from "./site.ts";
import { BenchThreads } from "./threads.ts";
import { Workspace } from "./workspace.ts";

/** What a rig is built of. It cannot be changed later. */
export interface RigSettings {
  readonly program: HostProgram;
  /** Null: a temporary one. */
  readonly dataDir: string | null;
  readonly payloadBytes: number;
  /** Webhook numbers that receivers know: from 0 to before this. */
  readonly webhooks: number;
  readonly origins: number;
  readonly owners: Owners;
  /** The event of a webhook; null: one of its own. */
  readonly eventOf: (webhook: number) => string | null;
  /** Events of all loads together, at most. */
  readonly eventsMax: number;
  readonly publisherThreads: number;
  /** The daemon's configuration, as its file has it. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Of the daemon. */
  readonly env: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Called once a second with how it goes. */
  readonly onProgress: (text: string) => void;
}

export interface LoadOptions {
  readonly ratePerSecond: number | null;
  readonly durationMs: number;
  readonly target: Target;
  readonly batch?: number;
  readonly connections?: number;
  /** How long what was due in time may still be sent afterwards. */
  readonly lateMaxMs?: number;
  /** Ends it, whatever the time. */
  readonly eventsMax?: number;
}

export interface RunningLoad {
  readonly load: Load;
  /** Resolves when all has been answered. */
  readonly done: Promise<void>;
  stop(): void;
}

export interface Mark {
  readonly atMono: number;
  readonly cpu: ProcessCpu;
  readonly host: HostCpu;
}

export interface Drained {
  readonly seconds: number;
  readonly isComplete: boolean;
}

const CONNECTIONS = 256;
/** Until the connections of a load are open. */
const LEAD_MS = 300;
/** More than anything here takes, for closed loops. */
const CLOSED_LOOP_MAX_PER_SECOND = 150_000;
const POLL_MS = 20;
/** After the last receipt: until hookd has recorded the outcomes, and second copies would have come. */
const SETTLE_MAX_MS = 5_000;
const SETTLE_MS = 300;
/** So long after the load hookd is asked whether it has anything left, and again after that. */
const GONE_SECONDS = 2;
const GONE_AGAIN_MS = 1_000;

/** A daemon with its load and its receivers: what a run, and every scenario, is played on. */
export class Rig {
  readonly settings: RigSettings;
  readonly site: Site;
  readonly ledger: Ledger;
  readonly recorder: Recorder;
  readonly daemon: DaemonProcess;
  readonly sampler: Sampler;
  readonly disk: DiskWatch;
  readonly workspace: Workspace;
  readonly threads: BenchThreads;
  readonly epochMono: number;
  /** What it is doing, for progress. */
  phase = "starting";
  nextSeq = 0;
  /** Bytes of the data directory before the first event. */
  emptyBytes = 0;
  readonly loads: Load[] = [];
  #isClosed = false;

  static async open(settings: RigSettings): Promise<Rig> {
    const workspace = new Workspace(settings.dataDir);
    const threads = await BenchThreads.start(settings, workspace.diskDir).catch((error: unknown) => {
      workspace.remove();
      throw error;
    });
    try {
      return new Rig(settings, workspace, threads);
    } catch (error) {
      await threads.stop();
      workspace.remove();
      throw error;
    }
  }

  private constructor(settings: RigSettings, workspace: Workspace, threads: BenchThreads) {
    this.settings = settings;
    this.workspace = workspace;
    this.threads = threads;
    this.site = new Site(threads.siteMemory);
    this.ledger = new Ledger(threads.ledgerMemory);
    this.epochMono = monoMs();
    this.recorder = new Recorder(this.ledger, this.epochMono);
    threads.onAnswers = (samples) => this.recorder.addAnswers(samples);
    threads.onReceipts = (samples) => this.recorder.addReceipts(samples);
    const { dataDir, workDir } = workspace;
    this.daemon = new DaemonProcess(settings.program, {
      dataDir,
      workDir,
      env: settings.env,
    });
    this.daemon.configFile = workspace.writeConfig(settings.config);
    workspace.atExit(() => this.daemon.killNow());
    this.disk = new DiskWatch(workspace.diskDir);
    this.sampler = new Sampler(this.daemon, dataDir, (sample) => this.#tell(sample));
  }

  get receiverPort(): number {
    return this.threads.receiverPort;
  }

  /** Bare client, bare server, disk; with no daemon running beside them. */
  calibrate(durationMs: number): Promise<Calibration> {
    return this.threads.calibrate((thread, port) =>
      calibrate(thread, port, (to, ms) => this.#loadCalibration(to, ms), durationMs),
    );
  }

  /**
   * Ends the daemon, if it runs, and starts it on the same data with another configuration. Gives how long it
   * took.
   */
  async restart(config: Readonly<Record<string, unknown>>): Promise<number> {
    await this.daemon.stop();
    this.daemon.configFile = this.workspace.writeConfig(config);
    return this.daemon.start();
  }

  /** Registers webhooks `first` to before `first + count`, spread over the origins. */
  async register(first: number, count: number, options: Partial<Registrations> = {}): Promise<void> {
    const { origins, owners, eventOf, signal, onProgress } = this.settings;
    const registrations = {
      first,
      count,
      origins,
      receiverPort: this.receiverPort,
      ...inTurn(owners, eventOf),
      ...options,
    };
    await register(
      this.daemon,
      registrations,
      (done) => onProgress(`registering webhooks: ${done} of ${count}`),
      signal,
    );
  }

  /** Room in the ledger for so many events that no load publishes: the first one's number. */
  reserve(count: number): number {
    const seq = this.nextSeq;
    if (seq + count > this.settings.eventsMax) throw new Error("the ledger has no room for so many events");
    this.nextSeq += count;
    return seq;
  }

  startLoad(options: LoadOptions): RunningLoad {
    const { ratePerSecond, durationMs, target } = options;
    const perSecond = ratePerSecond ?? CLOSED_LOOP_MAX_PER_SECOND;
    const batch = options.batch ?? 1;
    const events = Math.min((perSecond * durationMs) / 1_000, options.eventsMax ?? Infinity);
    const count = Math.ceil(events / batch) * batch;
    if (this.nextSeq + count > this.settings.eventsMax)
      throw new Error("the ledger has no room for the load");
    const startMono = monoMs() + LEAD_MS;
    const load: Load = {
      id: this.loads.length + 1,
      baseSeq: this.reserve(count),
      count,
      ratePerSecond,
      startMono,
      endMono: startMono + durationMs + (ratePerSecond === null ? 0 : (options.lateMaxMs ?? 0)),
      target,
      payloadBytes: this.settings.payloadBytes,
      batch,
      connections: options.connections ?? CONNECTIONS,
      host: this.daemon.host,
      port: this.daemon.port,
      key: this.daemon.key,
      owners: this.settings.owners,
      isLedgered: true,
    };
    this.loads.push(load);
    const done = this.#whileAlive(this.threads.publish(load));
    done.catch(() => {});
    return { load, done, stop: () => this.threads.stopLoad(load.id) };
  }

  /** A load from its beginning to the answer of its last event. */
  async runLoad(options: LoadOptions): Promise<Load> {
    const { load, done } = this.startLoad(options);
    await done;
    return load;
  }

  /** Watches a load's events that are due in a part of its time, from its start; all of it when left out. */
  watch(
    load: Load,
    options: { fromMs?: number; toMs?: number; filter?: (webhook: number) => boolean } = {},
  ): Watch {
    const { filter, fromMs = 0, toMs } = options;
    return this.recorder.watch({
      from: load.baseSeq,
      to: load.baseSeq + load.count,
      fromMono: load.startMono + fromMs,
      toMono: toMs === undefined ? load.endMono : load.startMono + toMs,
      filter: filter === undefined ? undefined : (seq) => filter(targetOf(load.target, seq - load.baseSeq)),
    });
  }

  /** Waits until receivers have taken all that was accepted, those that are made to fail aside. */
  async drain(maxMs: number): Promise<Drained> {
    const begunMono = monoMs();
    let low = 0;
    for (;;) {
      low = this.ledger.firstOpen(low, this.nextSeq);
      const open = low === this.nextSeq ? 0 : this.ledger.openCount(low, this.nextSeq, this.#isOwed);
      const seconds = (monoMs() - begunMono) / 1_000;
      if (open === 0) {
        await this.#settle();
        await this.threads.flush();
        return { seconds, isComplete: true };
      }
      if (seconds * 1_000 >= maxMs || (seconds > GONE_SECONDS && (await this.#hasNothingLeft()))) {
        await this.threads.flush();
        return { seconds, isComplete: false };
      }
      await this.pause(POLL_MS);
    }
  }

  tally(): Tally {
    return this.ledger.tally(0, this.nextSeq, this.#isOwed);
  }

  faults(): Record<Fault, number> {
    return this.site.faults();
  }

  metrics(): Promise<Metrics | null> {
    return scrape(this.daemon);
  }

  mark(): Mark {
    return { atMono: monoMs(), cpu: this.daemon.cpu, host: hostCpu() };
  }

  /** Waits. Ends early, by throwing, when the run is stopped or the daemon has died. */
  async pause(ms: number): Promise<void> {
    await this.#whileAlive(sleep(ms, undefined, { signal: this.settings.signal }));
  }

  async pauseUntil(atMono: number): Promise<void> {
    while (monoMs() < atMono) await this.pause(Math.min(1_000, Math.max(1, atMono - monoMs())));
  }

  /** Ends all that it started, whoever still waits for it included, and removes what it wrote. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.sampler.stop();
    this.disk.stop();
    await this.daemon.kill();
    await this.threads.stop();
    this.workspace.remove();
  }

  /** Accepted and not yet taken by a receiver, by the ledger: of all that was ever published. */
  get openCount(): number {
    return this.ledger.openCount(0, this.nextSeq, () => false);
  }

  /** Of the loads, what is accepted and not yet taken by a receiver, as far as the threads have told. */
  get undelivered(): number {
    return Math.max(0, this.recorder.accepted - this.recorder.delivered);
  }

  readonly #isOwed = (seq: number): boolean => {
    const load = this.loads.find(({ baseSeq, count }) => seq >= baseSeq && seq < baseSeq + count);
    return load !== undefined && !this.site.isHealthy(targetOf(load.target, seq - load.baseSeq));
  };

  /** hookd has nothing more to deliver, twice in a row: what has not come will not come. */
  async #hasNothingLeft(): Promise<boolean> {
    const isEmpty = async () => (await this.metrics())?.get("hookd_queue_depth") === 0;
    if (!(await isEmpty())) return false;
    await this.pause(GONE_AGAIN_MS);
    return isEmpty();
  }

  async #settle(): Promise<void> {
    const endMono = monoMs() + SETTLE_MAX_MS;
    const { owed } = this.tally();
    while (monoMs() < endMono) {
      const metrics = await this.metrics();
      if ((metrics?.get("hookd_queue_depth") ?? 0) <= owed) break;
      await this.pause(POLL_MS);
    }
    await this.pause(SETTLE_MS);
  }

  async #whileAlive<T>(promise: Promise<T>): Promise<T> {
    const { signal } = this.settings;
    // Whichever ends the wait, the others may still fail with nobody listening.
    promise.catch(() => {});
    signal.throwIfAborted();
    const stopped = Promise.withResolvers<never>();
    stopped.promise.catch(() => {});
    const onAbort = () => stopped.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    const watch = setInterval(() => {
      if (this.#isClosed) stopped.reject(new Error("the run was ended"));
      if (this.daemon.hasFailed) {
        stopped.reject(new Error(`hookd serve ended by itself:\n${this.daemon.lastWords()}`));
      }
    }, 200);
    try {
      return await Promise.race([promise, stopped.promise, this.threads.failed]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      clearInterval(watch);
    }
  }

  async #loadCalibration(port: number, durationMs: number): Promise<void> {
    const startMono = monoMs() + 1;
    const load: Load = {
      id: 0,
      baseSeq: 0,
      count: Number.MAX_SAFE_INTEGER,
      ratePerSecond: null,
      startMono,
      endMono: startMono + durationMs,
      target: { first: 0, count: this.settings.webhooks, isScattered: false },
      payloadBytes: this.settings.payloadBytes,
      batch: 1,
      connections: 64,
      host: "127.0.0.1",
      port,
      key: "hk_calibration",
      owners: this.settings.owners,
      isLedgered: false,
    };
    await this.#whileAlive(this.threads.publish(load));
  }

  #tell({ rssBytes, backlog }: DaemonSample): void {
    const second = this.recorder.lastSecond(monoMs());
    const elapsed = ((monoMs() - this.epochMono) / 1_000).toFixed(0);
    const refused = second.refused === 0 ? "" : `, refused ${second.refused}/s`;
    this.settings.onProgress(
      `${this.phase}, ${elapsed} s: accepted ${second.accepted}/s${refused}, ` +
        `delivered ${second.delivered}/s, ` +
        `p99 ${second.acceptP99Ms.toFixed(0)} and ${second.receiveP99Ms.toFixed(0)} ms, ` +
        `backlog ${backlog ?? "?"}, ${(rssBytes / 2 ** 20).toFixed(0)} MiB`,
    );
  }
}
