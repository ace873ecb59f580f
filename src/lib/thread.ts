import { Worker, type WorkerOptions } from "node:worker_threads";
import { embeddedThread, isBinary, type ThreadEntry } from "./embedded.ts";

/** Starts a thread of hookd: every one of them, so that it works from the sources and in the binary. */
export function startThread(entry: ThreadEntry, options: WorkerOptions): Worker {
  if (isBinary) return new Worker(embeddedThread(entry), { ...options, eval: true });
  return new Worker(new URL(`../${entry}.ts`, import.meta.url), options);
}
