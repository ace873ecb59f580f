import type { Key } from "./keys.ts";
import type { Line, Size } from "./line.ts";

/** Something that fills the terminal, takes keys and ends. */
export interface Screen {
  /** Calls the listener after each change; gives what ends that. */
  subscribe(listener: () => void): () => void;
  /** Another number after each change. */
  version(): number;
  resize(size: Size): void;
  /** As many lines as there are rows, or fewer. */
  lines(now: number): readonly Line[];
  press(key: Key): void;
  /** Resolves when it was left, with how; rejects with what ended it. */
  readonly ended: Promise<Ending>;
  /** Ends its connections and timers. */
  stop(): void;
}

/** `back`: esc where there is nothing left to leave. */
export type Ending = "quit" | "interrupted" | "back";
