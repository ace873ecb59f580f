import { spawnSync } from "node:child_process";
import { closeSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A small file system of its own, in a file, that can be filled up. */
export interface SmallDisk {
  readonly path: string;
  /** Takes so many bytes away. */
  fill(bytes: number): void;
  /** Gives them back. */
  empty(): void;
  remove(): void;
}

const CHUNK = Buffer.alloc(1 << 20, 1);

/** Throws where the process may not mount. It is unmounted when the process ends, however it ends. */
export function createSmallDisk(bytes: number): SmallDisk {
  if (process.getuid?.() !== 0) {
    throw new Error("the scenario full-disk mounts a file system: run it as root");
  }
  const directory = mkdtempSync(join(tmpdir(), "hookd-bench-disk-"));
  const image = join(directory, "image");
  const path = join(directory, "mount");
  const ballast = join(path, "ballast");
  let isMounted = false;
  const remove = () => {
    process.off("exit", remove);
    if (isMounted) run("umount", ["--lazy", path]);
    isMounted = false;
    rmSync(directory, { recursive: true, force: true });
  };
  process.on("exit", remove);
  try {
    mkdirSync(path);
    const file = openSync(image, "w");
    ftruncateSync(file, bytes);
    closeSync(file);
    run("mkfs.ext4", ["-q", "-F", "-m", "0", image]);
    run("mount", ["-o", "loop", image, path]);
    isMounted = true;
    // mkfs makes it, and the data directory has to be empty.
    rmSync(join(path, "lost+found"), { recursive: true, force: true });
  } catch (error) {
    remove();
    throw error;
  }
  return {
    path,
    fill(amount) {
      // Written and not only allocated: what is counted as free must be gone.
      const file = openSync(ballast, "a");
      try {
        for (let left = amount; left > 0; left -= CHUNK.length) writeSync(file, CHUNK);
      } finally {
        closeSync(file);
      }
    },
    empty: () => rmSync(ballast, { force: true }),
    remove,
  };
}

function run(command: string, args: readonly string[]): void {
  const { error, status, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (error !== undefined) throw new Error(`${command}: ${error.message}`, { cause: error });
  if (status !== 0) throw new Error(`${command} failed: ${stderr.trim()}`);
}
