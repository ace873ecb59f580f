import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

/** Somebody else's files are in the way. */
export class DataDirInUse extends Error {}

/**
 * Where a run writes: the daemon's data, its configuration and log. All of it goes at the end, however that
 * comes.
 */
export class Workspace {
  readonly workDir: string;
  readonly dataDir: string;
  /** A directory that exists on the data's disk. */
  readonly diskDir: string;
  readonly #wasThere: boolean;
  readonly #atExit: (() => void)[] = [];
  readonly #onExit = (): void => this.remove();
  #isRemoved = false;

  constructor(dataDir: string | null) {
    this.#wasThere = dataDir !== null && checkDataDir(dataDir);
    this.workDir = mkdtempSync(join(tmpdir(), "hookd-bench-"));
    this.dataDir = dataDir === null ? join(this.workDir, "data") : resolve(dataDir);
    this.diskDir = dataDir === null ? this.workDir : this.#wasThere ? this.dataDir : dirname(this.dataDir);
    // A process that ends by an error or a signal runs these too; they have no time to wait.
    process.on("exit", this.#onExit);
  }

  /** Runs before the files go, also when the process just ends. */
  atExit(undo: () => void): void {
    this.#atExit.unshift(undo);
  }

  /** The path of the daemon's configuration. JSON is YAML too. Null: there is nothing to say. */
  writeConfig(config: Readonly<Record<string, unknown>>): string | null {
    if (Object.keys(config).length === 0) return null;
    const path = join(this.workDir, "config.yaml");
    writeFileSync(path, JSON.stringify(config));
    return path;
  }

  remove(): void {
    if (this.#isRemoved) return;
    this.#isRemoved = true;
    process.off("exit", this.#onExit);
    for (const undo of this.#atExit) undo();
    const options = { recursive: true, force: true, maxRetries: 5, retryDelay: 50 } as const;
    if (this.#wasThere) {
      for (const name of readdirSync(this.dataDir)) rmSync(join(this.dataDir, name), options);
    } else {
      rmSync(this.dataDir, options);
    }
    rmSync(this.workDir, options);
  }
}

/** Whether it exists. Throws where it is anything but an empty directory. */
function checkDataDir(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) {
    mkdirSync(dirname(resolve(path)), { recursive: true });
    return false;
  }
  if (!found.isDirectory()) throw new DataDirInUse(`${path} is no directory`);
  if (readdirSync(path).length > 0) throw new DataDirInUse(`${path} is not empty`);
  return true;
}
