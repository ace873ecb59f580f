import { MemoryDisk } from "../../src/store/memory/disk.ts";
import { createMemoryStore } from "../../src/store/memory/memory-store.ts";
import { type Adapter, WINDOW_MS } from "./world.ts";

/** A crash is a new store on the same disk. */
export function memoryAdapter(): Adapter {
  const disk = new MemoryDisk();
  const create: Adapter["create"] = (clock) => createMemoryStore({ disk, clock, dedupeWindowMs: WINDOW_MS });
  return { create, crash: create, cleanup: async () => {} };
}
