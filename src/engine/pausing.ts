import { Problem } from "../domain/problem.ts";
import { PAUSED, type Pause, pauseText, readPause } from "../domain/setting.ts";
import type { Clock } from "../lib/clock.ts";
import type { Store } from "../store/port.ts";
import type { Schedule } from "./schedule.ts";

export interface PausingDeps {
  readonly store: Store;
  readonly schedule: Schedule;
  readonly clock: Clock;
  readonly log: { warn(message: string, fields: Readonly<Record<string, unknown>>): void };
  readonly onResumed: () => void;
}

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
    this.#pause = readPause(await store.getSetting(PAUSED));
    if (this.#pause === null) return;
    schedule.isPaused = true;
    const { reason, since } = this.#pause;
    log.warn("hookd is paused: it takes events and sends nothing", {
      reason,
      since: new Date(since).toISOString(),
      remedy: "hookd resume",
    });
  }

  /** For what would go past the lanes: a restored copy must not reach a receiver in any way. */
  assertSending(): void {
    if (this.#pause === null) return;
    const { reason } = this.#pause;
    const since = new Date(this.#pause.since).toISOString();
    const why = reason === "restored" ? "it was restored from a backup" : "an operator paused it";
    throw new Problem(
      "paused",
      `hookd as a whole is paused since ${since} (${why}) and sends nothing, no sample either: ` +
        "POST /v1/resume, with an admin key, lets it send again",
      { details: { reason, since } },
    );
  }

  async pause(): Promise<Pause> {
    const { store, schedule, clock } = this.#deps;
    if (this.#pause) return this.#pause;
    const pause: Pause = { reason: "operator", since: clock.now() };
    await store.putSetting(PAUSED, pauseText(pause.reason, pause.since));
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
