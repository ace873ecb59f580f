import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  interface ProvidedContext {
    /** Where this run builds the binary, if one of its tests needs it: see binary.ts. */
    readonly binaryDirectory: string;
    /** Of a user that the machine does not know; another one in each run. */
    readonly unknownUid: number;
  }
}

/** Before the first test and after the last one of a run. */
export function setup(project: TestProject): () => void {
  const directory = mkdtempSync(join(tmpdir(), "hookd-test-binary-"));
  // Other users run it too.
  chmodSync(directory, 0o755);
  project.provide("binaryDirectory", directory);
  const uid = 60_000 + (process.pid % 5_000);
  project.provide("unknownUid", uid);
  return () => {
    rmSync(directory, { recursive: true, force: true });
    // What the binary keeps for a user without a home.
    if (process.getuid?.() === 0) rmSync(`/tmp/hookd-${uid}`, { recursive: true, force: true });
  };
}
