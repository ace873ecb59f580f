/**
 * The settings that more than one room reads or writes. A database that is restored, or looked at offline, is told by the
 * names that the engine goes by: with another one it would send, or take a wrong key.
 */

/** Why and since when nothing is sent, as `pauseText` has it; empty or not there while deliveries go out. */
export const PAUSED = "paused";
/** Careful time when hookd last ran, epoch ms. */
export const WATERMARK = "careful_clock";
/** Names the master key that the secrets are sealed with. */
export const MASTER_KEY_ID = "master_key_id";

/** An operator asked for it; or the database is a copy, and the hookd that it is a copy of may still run. */
export interface Pause {
  readonly reason: "operator" | "restored";
  /** Epoch ms. */
  readonly since: number;
}

export function pauseText(reason: Pause["reason"], since: number): string {
  return JSON.stringify({ reason, since } satisfies Pause);
}

/** What PAUSED holds. Null: deliveries go out. */
export function readPause(text: string | null): Pause | null {
  return text === null || text === "" ? null : (JSON.parse(text) as Pause);
}
