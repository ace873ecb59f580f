import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { expect, test } from "vitest";

const src = new URL("../src", import.meta.url).pathname;

interface SourceFile {
  readonly path: string;
  readonly room: string;
  readonly text: string;
  readonly imports: readonly string[];
}

function sources(): SourceFile[] {
  return readdirSync(src, { recursive: true, encoding: "utf8" })
    .filter((path) => /\.tsx?$/.test(path))
    .map((path) => {
      const text = readFileSync(join(src, path), "utf8");
      const imports = [...text.matchAll(/^(?:import|export)[^;]*? from "([^"]+)"|import\("([^"]+)"\)/gm)].map(
        (match) => match[1] ?? match[2] ?? "",
      );
      return { path, room: roomOf(path), text, imports };
    });
}

/** The folder, with store adapters and ports as rooms of their own. */
function roomOf(path: string): string {
  if (path === "store/port.ts") return "store-port";
  if (path === "sender/port.ts") return "sender-port";
  if (path === "engine/port.ts") return "engine-port";
  if (path === "archive/port.ts") return "archive-port";
  if (path === "http-api.ts") return "http-api";
  const [first = "", second = ""] = path.split("/");
  if (first === "store") return `store-${second}`;
  return path.includes("/") ? first : path;
}

/** What each room may see besides itself. */
const MAY_SEE: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  domain: ["lib"],
  config: ["lib", "domain"],
  "store-port": ["domain"],
  "sender-port": ["domain"],
  "engine-port": ["domain"],
  "archive-port": ["domain"],
  engine: ["lib", "domain", "config", "store-port", "sender-port", "archive-port", "engine-port"],
  observe: ["lib", "domain", "engine-port", "engine"],
  "store-memory": ["lib", "domain", "store-port"],
  "store-sqlite": ["lib", "domain", "store-port"],
  sender: ["lib", "domain", "sender-port"],
  archive: ["lib", "domain", "archive-port"],
  api: ["lib", "domain", "config", "engine-port"],
  threads: [
    "lib",
    "domain",
    "config",
    "engine-port",
    "engine",
    "sender-port",
    "sender",
    "store-sqlite",
    "archive-port",
    "archive",
    "observe",
  ],
  "version.ts": [],
  "master-key.ts": ["config"],
  "own-addresses.ts": ["config"],
  "heap-growth.ts": ["lib"],
  doctor: [
    "lib",
    "domain",
    "config",
    "store-sqlite",
    "sender-port",
    "sender",
    "master-key.ts",
    "own-addresses.ts",
  ],
  "reload.ts": ["config"],
  "daemon.ts": [
    "lib",
    "domain",
    "config",
    "engine-port",
    "api",
    "observe",
    "threads",
    "master-key.ts",
    "own-addresses.ts",
    "heap-growth.ts",
    "reload.ts",
    "version.ts",
  ],
  "restore.ts": ["domain", "store-sqlite", "master-key.ts"],
  bench: ["lib", "domain"],
  "http-api": [],
  explain: ["lib", "domain", "config", "http-api"],
  tui: ["lib", "http-api", "explain"],
  cli: [
    "lib",
    "domain",
    "config",
    "store-sqlite",
    "bench",
    "doctor",
    "http-api",
    "explain",
    "tui",
    "daemon.ts",
    "master-key.ts",
    "restore.ts",
    "version.ts",
  ],
};

test("imports point one way, from the outside in", () => {
  const wrong: string[] = [];
  for (const file of sources()) {
    const allowed = MAY_SEE[file.room];
    if (!allowed) {
      wrong.push(`${file.path}: the room ${file.room} is not on the plan`);
      continue;
    }
    for (const target of file.imports.filter((name) => name.startsWith("."))) {
      const room = roomOf(relative(src, normalize(join(src, dirname(file.path), target))));
      if (room !== file.room && !allowed.includes(room))
        wrong.push(`${file.path} imports ${target} (${room})`);
    }
  }
  expect(wrong).toEqual([]);
});

test("each library stays in its room", () => {
  const homes: Readonly<Record<string, readonly string[]>> = {
    "node:sqlite": ["store-sqlite"],
    undici: ["bench"],
    echarts: ["bench"],
    "hdr-histogram-js": ["bench"],
    fastify: ["api"],
    commander: ["cli"],
    ink: ["tui"],
    react: ["tui"],
    yaml: ["config"],
    "@opentelemetry/otlp-transformer": ["observe"],
    "@opentelemetry/resources": ["observe"],
  };
  const wrong = sources().flatMap((file) =>
    file.imports
      .filter((name) => homes[name] && !homes[name]?.includes(file.room))
      .map((name) => `${file.path} imports ${name}`),
  );
  expect(wrong).toEqual([]);
});

test("the environment is read in config only, and SQL is written in store only", () => {
  const wrong = sources()
    .filter(
      (file) =>
        (/process\.env\b/.test(file.text) && file.room !== "config") ||
        (/\b(select [a-z*(]|insert into|update [a-z_]+ set|delete from) .*\b(from|values|set|where)\b/.test(
          stripComments(file.text),
        ) &&
          !file.room.startsWith("store-")),
    )
    .map((file) => file.path);
  expect(wrong).toEqual([]);
});

test("clock and randomness come in from outside in domain, engine and store", () => {
  const wrong = sources()
    .filter((file) => ["domain", "engine"].includes(file.room) || file.room.startsWith("store-"))
    .filter((file) =>
      /Date\.now\(|Math\.random\(|new Date\(\)|performance\.now\(/.test(stripComments(file.text)),
    )
    .map((file) => file.path);
  expect(wrong).toEqual([]);
});

test("only lib knows how hookd was started: from its sources, or as one binary", () => {
  const wrong = sources()
    .filter((file) => file.room !== "lib")
    .filter((file) => /import\.meta|new Worker\(|node:sea|process\.execPath/.test(stripComments(file.text)))
    .map((file) => file.path);
  expect(wrong).toEqual([]);
});

test("only store/sqlite/connection.ts makes connections", () => {
  const wrong = sources()
    .filter((file) => file.path !== "store/sqlite/connection.ts")
    .filter((file) => /new DatabaseSync\(/.test(stripComments(file.text)))
    .map((file) => file.path);
  expect(wrong).toEqual([]);
});

test("files hold one idea: none has more than 500 lines, no barrel, no default export, no left-over", () => {
  const wrong = sources().flatMap((file) => [
    ...(file.text.split("\n").length > 500 ? [`${file.path} has ${file.text.split("\n").length} lines`] : []),
    ...(/^export \* from/m.test(file.text) ? [`${file.path} is a barrel`] : []),
    ...(/^export default/m.test(file.text) ? [`${file.path} has a default export`] : []),
    ...(/TODO|FIXME|XXX|@ts-ignore|@ts-expect-error|biome-ignore/.test(file.text)
      ? [`${file.path} has a left-over`]
      : []),
  ]);
  expect(wrong).toEqual([]);
});

function stripComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
}

test("every npm script that a document names is there", () => {
  const root = join(src, "..");
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const documents = ["README.md", ...readdirSync(join(root, "docs")).map((name) => join("docs", name))];
  const named = documents
    .filter((name) => name.endsWith(".md"))
    .flatMap((name) => [...readFileSync(join(root, name), "utf8").matchAll(/npm run ([a-z:]+)/g)])
    .map((match) => match[1] ?? "");
  expect(named).toContain("sim");
  expect(named.filter((name) => !(name in scripts))).toEqual([]);
});
