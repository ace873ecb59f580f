import type { Config } from "../../src/config/config.ts";
import { loadConfig, type Overrides } from "../../src/config/load.ts";
import { Director } from "../../src/engine/director.ts";
import type { DirectorDeps } from "../../src/engine/director-deps.ts";
import type { SettledAttempt } from "../../src/engine/port.ts";
import type { Clock } from "../../src/lib/clock.ts";
import { steadyClock } from "../../src/lib/steady-clock.ts";
import type { Outcome, Sender } from "../../src/sender/port.ts";
import { FakeTime, seededRandom } from "../support/fake-clock.ts";
import { Receivers, ScriptedSender } from "../support/scripted-sender.ts";
import { memoryDisk, type SimDisk, sqliteDisk } from "./disks.ts";
import { DiskFailure, FaultyStore, type StoreHooks } from "./faulty-store.ts";

export interface WorldOptions {
  readonly seed: number;
  readonly config: Overrides;
  readonly senders: number;
  readonly store: "memory" | "sqlite";
  /** What a plant changes of what the director is given. */
  readonly alter: (deps: DirectorDeps) => DirectorDeps;
  /** What a plant changes of what senders report. */
  readonly alterOutcomes: (outcomes: readonly Outcome[]) => readonly Outcome[];
}

/** Who watches the world from outside. */
export interface WorldWatcher extends StoreHooks {
  outcomes(outcomes: readonly Outcome[]): void;
  settled(attempts: readonly SettledAttempt[]): void;
  /** The director is gone; with it, whatever was not on disk. */
  crashed(): void;
}

/** No call of a user takes longer, whatever the store does. */
const CALL_MS = 600_000;
/** Nor does a stop: the drain, and what the store needs. */
const STOP_MS = 600_000;
/** Turns without work after which a world is quiet: SQLite's fold takes turns of its own. */
const QUIET_TURNS = { memory: 1, sqlite: 2 };

/** The process ended while something was asked of it. */
export class Died extends Error {}

/**
 * The real director on a clock, receivers, a disk and randomness of the simulation's. A crash drops
 * everything but the disk and the receivers.
 */
export class SimWorld {
  readonly time: FakeTime;
  readonly receivers = new Receivers();
  readonly disk: SimDisk;
  readonly config: Config;
  /** Errors that ended the process and were not ordered: bugs. */
  readonly fatal: unknown[] = [];
  freeBytes = Number.MAX_SAFE_INTEGER;
  /** How far the wall clock was set forward, and back, in all, ms. */
  forwardMs = 0;
  backwardMs = 0;
  /** The furthest that it was ahead of what it was at first. */
  aheadMaxMs = 0;
  /** How far the director's clock went back from one life to the next, in all, ms. */
  regressMs = 0;
  crashes = 0;
  isRunning = false;
  /** The director's own. */
  clock!: Clock;
  director!: Director;
  faults!: FaultyStore;
  senders: ScriptedSender[] = [];
  readonly #options: WorldOptions;
  readonly #watcher: WorldWatcher;
  readonly #random: () => number;
  #death!: Promise<never>;
  #die!: (reason: Died) => void;

  constructor(options: WorldOptions, watcher: WorldWatcher) {
    this.#options = options;
    this.#watcher = watcher;
    this.#random = seededRandom(options.seed);
    this.time = new FakeTime(QUIET_TURNS[options.store]);
    this.time.isBusy = () => (this.faults?.working ?? 0) > 0;
    this.disk = options.store === "memory" ? memoryDisk() : sqliteDisk();
    this.config = loadConfig({ env: {}, flags: { data_dir: "/nowhere", ...options.config } });
  }

  /** Begins a life of the director; `started` tells when it takes events. */
  begin(): Promise<void> {
    const { config, time, receivers } = this;
    const clock = steadyClock(time);
    if (this.clock) this.regressMs += Math.max(0, this.clock.now() - clock.now());
    this.clock = clock;
    this.#death = new Promise((_, reject) => {
      this.#die = reject;
    });
    this.#death.catch(() => undefined);
    this.faults = new FaultyStore(
      this.disk.open(clock, config.limits.dedupeWindowMs),
      time,
      this.#watcher,
      this.faults?.order ?? 0,
    );
    const life = this.faults;
    this.senders = Array.from(
      { length: this.#options.senders },
      (_, index) => new ScriptedSender(time, receivers, index, (outcomes) => this.report(outcomes)),
    );
    const deps: DirectorDeps = {
      config,
      store: this.faults.store,
      senders: this.senders.map((sender) => this.#mortal(sender)),
      clock,
      timers: time,
      random: this.#random,
      freeBytes: () => this.freeBytes,
      log: { attempts: (attempts) => this.#watcher.settled(attempts), warn: () => {} },
      onFatal: (error) => this.#ended(error, life),
    };
    this.director = new Director(this.#options.alter(deps));
    this.isRunning = true;
    return this.director.start();
  }

  async start(): Promise<void> {
    await this.call(this.begin());
  }

  /** A sender's outcomes, now or late. */
  report(outcomes: readonly Outcome[]): void {
    this.#watcher.outcomes(outcomes);
    this.director.takeOutcomes(this.#options.alterOutcomes(outcomes));
  }

  /**
   * What the director answers, with no more time passing than it needs. Rejects with `Died` where it does
   * not.
   */
  call<T>(promise: Promise<T>): Promise<T> {
    return this.wait(this.orDied(promise));
  }

  /** The same for what ends by itself when the process does. */
  wait<T>(promise: Promise<T>): Promise<T> {
    return this.time.until(promise, CALL_MS);
  }

  orDied<T>(promise: Promise<T>): Promise<T> {
    return Promise.race([promise, this.#death]);
  }

  advance(ms: number): Promise<void> {
    return this.time.advance(ms);
  }

  /** Graceful, as far as the store lets it be. */
  async stop(): Promise<void> {
    await this.time.until(this.orDied(this.director.stop()), STOP_MS);
    this.#drop();
  }

  /** From one moment to the next the process is gone. */
  crash(): void {
    this.crashes += 1;
    this.#drop();
  }

  loseSender(index: number): void {
    this.senders[index]?.die();
    this.director.senderLost(index);
  }

  /** The wall clock alone is set forward, or back. */
  jump(ms: number): void {
    if (ms > 0) this.forwardMs += ms;
    else this.backwardMs -= ms;
    this.aheadMaxMs = Math.max(this.aheadMaxMs, this.forwardMs - this.backwardMs);
    this.time.jump(ms);
  }

  /** A process that is gone sends nothing, whatever its code still comes to in the same turn. */
  #mortal(sender: Sender): Sender {
    const { faults } = this;
    const isAlive = () => this.faults === faults && this.isRunning;
    return {
      putTarget: (target) => isAlive() && sender.putTarget(target),
      dropTarget: (webhookId) => isAlive() && sender.dropTarget(webhookId),
      send: (orders) => isAlive() && sender.send(orders),
      stop: () => sender.stop(),
    };
  }

  /**
   * What the director's other half comes to in the same turn, after the first error, is nothing: the process
   * is gone.
   */
  #ended(error: unknown, life: FaultyStore): void {
    if (!this.isRunning || this.faults !== life) return;
    if (!(error instanceof DiskFailure)) this.fatal.push(error);
    this.crash();
  }

  #drop(): void {
    this.isRunning = false;
    this.faults.cut();
    for (const sender of this.senders) sender.die();
    this.time.forget();
    this.disk.crash();
    this.#watcher.crashed();
    this.#die(new Died("the process ended"));
  }
}
