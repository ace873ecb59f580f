import { spawnSync } from "node:child_process";
import { closeSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A small file system of its own, in a file, that can be filled up. */
export interface SmallDisk {
  readonly path: string;
  /** Takes so many bytes away; all that there are, where there are no more. */
  fill(bytes: number): void;
  /** Gives them back. */
  empty(): void;
  remove(): void;
}

/** Large ones first; then small ones take what is left to the last block. */
const CHUNKS = [Buffer.alloc(1 << 20, 1), Buffer.alloc(1 << 10, 1)];

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
        let left = amount;
        for (const chunk of CHUNKS) left = write(file, chunk, left);
      } finally {
        closeSync(file);
      }
    },
    empty: () => rmSync(ballast, { force: true }),
    remove,
  };
}

/** Whole chunks of so many bytes, until there is no room. What is left of them. */
function write(file: number, chunk: Buffer, bytes: number): number {
  let left = bytes;
  try {
    for (; left >= chunk.length; left -= chunk.length) writeSync(file, chunk);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
  }
  return left;
}

function run(command: string, args: readonly string[]): void {
  const { error, status, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (error !== undefined) throw new Error(`${command}: ${error.message}`, { cause: error });
  if (status !== 0) throw new Error(`${command} failed: ${stderr.trim()}`);
}
