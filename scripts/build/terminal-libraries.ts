import { readFile } from "node:fs/promises";
import type { Plugin } from "esbuild";

interface Edit {
  readonly file: RegExp;
  readonly found: RegExp;
  readonly put: string;
  readonly times: number;
}

/**
 * Ink and yoga-layout await at their top level, which a CommonJS bundle cannot. What they await can be had without, so
 * that a live view is written as if there were no bundle.
 */
const EDITS: readonly Edit[] = [
  {
    // Tools for Ink's own development, and its version for them.
    file: /\/ink\/build\/reconciler\.js$/,
    found: /process\.env\['DEV'\] === 'true'/g,
    put: "false",
    times: 2,
  },
  {
    // The WebAssembly is handed to whoever compiles it, besides what it imports and who waits for it.
    file: /\/yoga-layout\/dist\/binaries\/yoga-wasm-base64-esm\.js$/,
    found: /h\.instantiateWasm\(d,\s*a\)/g,
    put: "h.instantiateWasm(d, a, H)",
    times: 1,
  },
  {
    // Compiled when it is imported: 90 KB take some milliseconds.
    file: /\/yoga-layout\/dist\/src\/index\.js$/,
    found: /const Yoga = wrapAssembly\(await loadYoga\(\)\);/g,
    put: `const assembly = {
  instantiateWasm(imports, done, dataUrl) {
    const bytes = Buffer.from(dataUrl.slice(dataUrl.indexOf(",") + 1), "base64");
    done(new WebAssembly.Instance(new WebAssembly.Module(bytes), imports));
    return {};
  },
};
loadYoga(assembly);
const Yoga = wrapAssembly(assembly);`,
    times: 1,
  },
];

/** Makes those edits, and fails where a new version of a library is not what they were written for. */
export const terminalLibraries: Plugin = {
  name: "terminal-libraries",
  setup(build) {
    for (const { file, found, put, times } of EDITS) {
      build.onLoad({ filter: file }, async ({ path }) => {
        const text = await readFile(path, "utf8");
        const count = text.match(found)?.length ?? 0;
        if (count !== times) {
          const why = `${found} stands in it ${count} times and not ${times}`;
          return {
            errors: [{ text: `${path} has changed: ${why}. See scripts/build/terminal-libraries.ts` }],
          };
        }
        return { contents: text.replace(found, () => put), loader: "js" };
      });
    }
  },
};
