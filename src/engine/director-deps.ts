import type { Archive } from "../archive/port.ts";
import type { Config } from "../config/config.ts";
import type { Span } from "../domain/span.ts";
import type { SteadyClock } from "../lib/steady-clock.ts";
import type { Timers } from "../lib/timers.ts";
import type { Sender } from "../sender/port.ts";
import type { Store } from "../store/port.ts";
import type { SettledAttempt } from "./port.ts";

/** What a director works with: all that is outside of it. */
export interface DirectorDeps {
  readonly config: Config;
  readonly store: Store;
  /** Cold storage for what retention deletes, when there is one. Stopped with the director. */
  readonly archive?: Archive | null;
  /** At least one; each is made with the director's `takeOutcomes`. */
  readonly senders: readonly Sender[];
  readonly clock: SteadyClock;
  readonly timers: Timers;
  /** [0, 1). */
  readonly random: () => number;
  readonly log: DirectorLog;
  /** Takes the span of each attempt that is traced. Left out: none is. */
  readonly onSpan?: ((span: Span) => void) | null;
  /** Bytes free on the file system where the data is. */
  readonly freeBytes: () => number;
  /** Nothing more may be acknowledged: the process must end. */
  readonly onFatal: (error: unknown) => void;
  /** The wall clock is right, however far it is from when hookd last ran. */
  readonly acceptClock?: boolean;
  /** Looks at the open store before anything is sent; what it throws ends the start. */
  readonly admit?: () => Promise<void>;
}

export interface DirectorLog {
  attempts(attempts: readonly SettledAttempt[]): void;
  warn(message: string, fields: Readonly<Record<string, unknown>>): void;
}
