import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { HOOKD, ROOT, startDaemon } from "../support/daemon.ts";
import { temporaryDirectory } from "../support/world.ts";

type Instruction = readonly [name: string, rest: string];

const NAMES = [
  "CMD",
  "COPY",
  "ENTRYPOINT",
  "ENV",
  "EXPOSE",
  "FROM",
  "HEALTHCHECK",
  "RUN",
  "STOPSIGNAL",
  "USER",
];
const all = instructions(readFileSync(join(ROOT, "deploy/Containerfile"), "utf8"));
const begin = all.findLastIndex(([name]) => name === "FROM");
const build = all.slice(0, begin);
const image = all.slice(begin);
const only = (name: string): string => {
  const found = image.filter((one) => one[0] === name);
  expect(found, name).toHaveLength(1);
  return found[0]?.[1] ?? "";
};

describe("the container", () => {
  it("is written in instructions that there are", () => {
    for (const [name] of all) expect([...NAMES, "VOLUME", "WORKDIR"]).toContain(name);
  });

  it("has of the build nothing but the binary", () => {
    const [, stage] = / AS (\w+)$/.exec(build[0]?.[1] ?? "") ?? [];
    expect(only("COPY")).toBe(`--from=${stage} /src/build/hookd /usr/local/bin/hookd`);
    const runs = build.filter(([name]) => name === "RUN").map(([, rest]) => rest);
    expect(runs[0]).toBe("npm ci --ignore-scripts");
    expect(runs[1]).toMatch(/^npm run build /);
  });

  it("copies what the build needs, and leaves out what this machine made", () => {
    const ignored = readFileSync(join(ROOT, ".dockerignore"), "utf8").trim().split("\n");
    expect(ignored).toEqual(expect.arrayContaining(["node_modules", "hookd-data", ".git", "build"]));
    const copied =
      build
        .find(([name]) => name === "COPY")?.[1]
        .split(" ")
        .slice(0, -1) ?? [];
    for (const file of copied) expect(() => readFileSync(join(ROOT, file))).not.toThrow();
  });

  it("runs as nobody in particular, who owns what it writes to", () => {
    const user = only("USER");
    expect(user).toMatch(/^[1-9]\d*:[1-9]\d*$/);
    const [uid, gid] = user.split(":");
    expect(only("RUN")).toContain(`install -d -o ${uid} -g ${gid} -m 0700 /var/lib/hookd`);
    expect(JSON.parse(only("VOLUME"))).toEqual([variables().HOOKD_DATA_DIR]);
    expect(only("EXPOSE")).toBe(variables().HOOKD_LISTEN?.split(":")[1]);
  });

  it("starts as it says, and its health check tells whether hookd answers", async () => {
    expect(JSON.parse(only("ENTRYPOINT"))).toEqual(["hookd"]);
    expect(JSON.parse(only("CMD"))).toEqual(["serve"]);
    const dataDir = temporaryDirectory();
    const daemon = await startDaemon({ dataDir });
    const check = (port: string) => {
      const [program, ...args] = JSON.parse(/ CMD (\[.*\])$/.exec(only("HEALTHCHECK"))?.[1] ?? "null");
      expect(program).toBe("hookd");
      // As in the container, but for where the data is, and which port is free here.
      const env = { ...variables(), HOOKD_DATA_DIR: dataDir, HOOKD_SERVER: `http://127.0.0.1:${port}` };
      return spawnSync(HOOKD, args, { env: { PATH: process.env.PATH, ...env }, timeout: 15_000 }).status;
    };
    const { port } = new URL(daemon.server);
    expect(check(port)).toBe(0);
    await daemon.stop();
    expect(check(port)).toBe(1);
  });

  it("gives the daemon variables that it takes", async () => {
    const { HOOKD_DATA_DIR: _place, ...env } = variables();
    const daemon = await startDaemon({ env });
    expect((await daemon.call("GET", "/readyz")).status).toBe(200);
  });
});

function variables(): Record<string, string> {
  return Object.fromEntries(
    only("ENV")
      .split(" ")
      .map((one) => one.split("=")),
  );
}

function instructions(text: string): Instruction[] {
  return text
    .replace(/^#.*\n/gm, "")
    .replace(/\\\n\s*/g, "")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [name = ""] = line.split(" ", 1);
      return [name, line.slice(name.length + 1)];
    });
}
