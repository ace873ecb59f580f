import { readFileSync } from "node:fs";
import { getAsset, isSea } from "node:sea";
import { fileURLToPath } from "node:url";

/**
 * hookd runs from its sources, or as one binary that carries all of it (docs/decisions/0014). What that changes is known
 * here and in thread.ts, and nowhere else.
 */
export const isBinary = isSea();

/** Text that is read while hookd runs, by the name that it has in the binary: where it is from here, or in which package. */
export const TEXTS = {
  "echarts.js": "echarts/dist/echarts.common.min.js",
  "slow-sync.c": "../bench/faults/shim.c",
} as const;

/** Entry files of threads, from src/ on. Each is a bundle of its own in the binary. */
export const THREAD_ENTRIES = [
  "threads/director",
  "threads/sender",
  "threads/archive",
  "store/sqlite/checkpoint-thread",
  "store/sqlite/backup-thread",
  "bench/publisher-thread",
  "bench/receiver-thread",
  "bench/readers-thread",
  "bench/calibration-thread",
] as const;
export type ThreadEntry = (typeof THREAD_ENTRIES)[number];

export function embeddedText(name: keyof typeof TEXTS): string {
  if (isBinary) return getAsset(name, "utf8");
  return readFileSync(fileURLToPath(import.meta.resolve(TEXTS[name])), "utf8");
}

/** The source of a thread, in the binary only. */
export function embeddedThread(entry: ThreadEntry): string {
  return getAsset(`${entry}.js`, "utf8");
}

/** A program and what it is called with. */
export interface OwnCommand {
  readonly file: string;
  readonly args: readonly string[];
}

/** How to run this very hookd once more; a command and its options follow. */
export function ownCommand(): OwnCommand {
  const file = process.execPath;
  if (isBinary) return { file, args: [] };
  return { file, args: [...process.execArgv, process.argv[1] ?? ""] };
}
