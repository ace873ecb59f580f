import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { embeddedText } from "../../lib/embedded.ts";

/** Makes the daemon's disk slow and fast again. */
export interface SlowSync {
  /** For the daemon. */
  readonly env: Readonly<Record<string, string>>;
  begin(): void;
  end(): void;
  remove(): void;
}

/** Compiles the shim. Throws where there is no compiler. */
export function createSlowSync(): SlowSync {
  const directory = mkdtempSync(join(tmpdir(), "hookd-bench-shim-"));
  const library = join(directory, "shim.so");
  const control = join(directory, "slow");
  const source = join(directory, "shim.c");
  writeFileSync(source, embeddedText("slow-sync.c"));
  const remove = () => {
    process.off("exit", remove);
    rmSync(directory, { recursive: true, force: true });
  };
  process.on("exit", remove);
  const { error, status, stderr } = spawnSync(
    "gcc",
    ["-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"],
    { encoding: "utf8" },
  );
  if (error !== undefined || status !== 0) {
    remove();
    const why = error?.message ?? stderr.slice(0, 500);
    throw new Error(`the scenario slow-disk needs gcc, to build what slows the disk: ${why}`);
  }
  return {
    env: { LD_PRELOAD: library, BENCH_SLOW_SYNC: control },
    begin: () => writeFileSync(control, ""),
    end: () => rmSync(control, { force: true }),
    remove,
  };
}
