import type { Clock } from "../lib/clock.ts";
import type { Store } from "../store/port.ts";
import type { Pause } from "./port.ts";
import type { Schedule } from "./schedule.ts";

export interface PausingDeps {
  readonly store: Store;
  readonly schedule: Schedule;
  readonly clock: Clock;
  readonly log: { warn(message: string, fields: Readonly<Record<string, unknown>>): void };
  readonly onResumed: () => void;
}

/** Setting: why and since when nothing is sent, as JSON; empty or not there while deliveries go out. */
const PAUSED = "paused";

/**
 * Whether anything is sent at all. While hookd is paused it takes events, stores them, and gives no delivery a slot;
 * what is in flight ends. It outlives restarts. A restored database says it of itself (store/sqlite/backup-file.ts):
 * the hookd that it is a copy of may still run, and everything open would be delivered twice.
 */
export class Pausing {
  readonly #deps: PausingDeps;
  #pause: Pause | null = null;

  constructor(deps: PausingDeps) {
    this.#deps = deps;
  }

  get current(): Pause | null {
    return this.#pause;
  }

  /** Before anything is sent. */
  async start(): Promise<void> {
    const { store, schedule, log } = this.#deps;
    const text = await store.getSetting(PAUSED);
    if (text === null || text === "") return;
    this.#pause = JSON.parse(text) as Pause;
    schedule.isPaused = true;
    const { reason, since } = this.#pause;
    log.warn("hookd is paused: it takes events and sends nothing", {
      reason,
      since: new Date(since).toISOString(),
      remedy: "hookd resume",
    });
  }

  async pause(): Promise<Pause> {
    const { store, schedule, clock } = this.#deps;
    if (this.#pause) return this.#pause;
    const pause: Pause = { reason: "operator", since: clock.now() };
    await store.putSetting(PAUSED, JSON.stringify(pause));
    this.#pause = pause;
    schedule.isPaused = true;
    return pause;
  }

  async resume(): Promise<void> {
    const { store, schedule, onResumed } = this.#deps;
    await store.putSetting(PAUSED, "");
    this.#pause = null;
    schedule.isPaused = false;
    onResumed();
  }
}
