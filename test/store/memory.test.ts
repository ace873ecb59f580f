import { expect, test } from "vitest";
import { MemoryDisk } from "../../src/store/memory/disk.ts";
import { createMemoryStore } from "../../src/store/memory/memory-store.ts";
import { conformance } from "./conformance.ts";
import { memoryAdapter } from "./memory-adapter.ts";
import { testClock, WINDOW_MS } from "./world.ts";

conformance("memory", memoryAdapter);

test("a memory store of before a crash refuses to touch the disk", async () => {
  const disk = new MemoryDisk();
  const options = { disk, clock: testClock(), dedupeWindowMs: WINDOW_MS };
  const dead = createMemoryStore(options);
  await expect(dead.getSetting("a")).rejects.toThrow("not open");
  await dead.open();
  await createMemoryStore(options).open();
  await expect(dead.putSetting("a", "b")).rejects.toThrow("another one was opened");
});
