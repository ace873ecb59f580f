import { isBuiltin } from "node:module";
import { join } from "node:path";
import { type BuildOptions, build } from "esbuild";
import { THREAD_ENTRIES } from "../../src/lib/embedded.ts";
import type { Build } from "../../src/version.ts";
import { terminalLibraries } from "./terminal-libraries.ts";

const MAIN = "cli/main";

export interface Bundles {
  /** Path of the main program. */
  readonly main: string;
  /** Paths of the threads' programs, by their names in the binary. */
  readonly threads: Readonly<Record<string, string>>;
}

/**
 * Makes one CommonJS file of the main program and one of each thread, with all that they import. The main program sets
 * V8's flags before it does anything: they hold for its threads too.
 */
export async function bundle(
  root: string,
  directory: string,
  told: Build,
  v8Flags: readonly string[],
): Promise<Bundles> {
  const options: BuildOptions = {
    absWorkingDir: root,
    outdir: directory,
    outbase: "src",
    bundle: true,
    platform: "node",
    format: "cjs",
    target: `node${process.versions.node}`,
    // node_modules may be a link: names in the bundles are the same all the same.
    preserveSymlinks: true,
    // What is imported when it is needed is a function in the same file. A real import() does not work there.
    supported: { "dynamic-import": false },
    define: { HOOKD_BUILD: JSON.stringify(told), "process.env.NODE_ENV": '"production"' },
    // Only src/lib asks where it is, and only where it is not bundled.
    logOverride: { "empty-import-meta": "silent" },
    logLevel: "warning",
    legalComments: "none",
    metafile: true,
    plugins: [terminalLibraries],
  };
  const threads = await Promise.all(
    THREAD_ENTRIES.map(async (entry) => {
      // In stacks a thread has its name, instead of [worker eval].
      await bundleOne({ ...options, footer: { js: `//# sourceURL=${entry}.js` } }, entry);
      return [`${entry}.js`, join(directory, `${entry}.js`)] as const;
    }),
  );
  const setFlags = v8Flags.map((flag) => `require("node:v8").setFlagsFromString(${JSON.stringify(flag)});`);
  await bundleOne({ ...options, banner: { js: setFlags.join("\n") } }, MAIN);
  return { main: join(directory, `${MAIN}.js`), threads: Object.fromEntries(threads) };
}

async function bundleOne(options: BuildOptions, entry: string): Promise<void> {
  const { metafile } = await build({ ...options, entryPoints: [`src/${entry}.ts`] });
  const needed = Object.values(metafile?.outputs ?? {}).flatMap(({ imports }) =>
    imports.filter(({ external }) => external).map(({ path }) => path),
  );
  // Anything else would be looked for beside the working directory, and run if it is there.
  const foreign = needed.filter((path) => !isBuiltin(path));
  if (foreign.length > 0)
    throw new Error(`src/${entry}.ts needs what is not in the bundle: ${foreign.join(", ")}`);
}
