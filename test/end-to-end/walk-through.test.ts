import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { HOOKD, ROOT } from "../support/daemon.ts";
import { temporaryDirectory, until } from "../support/world.ts";

interface Block {
  readonly kind: "background" | "run" | "mend";
  readonly commands: readonly string[];
}

/** The walk-through as it stands in the README: commands in order, marked by how they are to be run. */
function walkThrough(): Block[] {
  const text = readFileSync(join(ROOT, "README.md"), "utf8");
  const blocks = [...text.matchAll(/<!-- walk-through: (background|run|mend) -->\n```sh\n([\s\S]*?)```/g)];
  return blocks.map((match) => ({
    kind: match[1] as Block["kind"],
    commands: (match[2] ?? "").trim().split("\n"),
  }));
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

interface Running {
  readonly child: ChildProcess;
  readonly output: () => string;
  readonly code: Promise<number | null>;
}

function start(command: string, env: Record<string, string>): Running {
  const child = spawn("sh", ["-c", `exec ${command}`], { env, cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk;
  });
  child.stderr.on("data", (chunk: Buffer) => {
    output += chunk;
  });
  const code = new Promise<number | null>((resolve) => child.once("close", (status) => resolve(status)));
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await code;
  });
  return { child, output: () => output, code };
}

test("the README's walk-through runs as it is written", async () => {
  const [api, first, second] = await Promise.all([freePort(), freePort(), freePort()]);
  const env = {
    PATH: process.env.PATH ?? "",
    HOOKD_DATA_DIR: join(temporaryDirectory(), "hookd-data"),
    HOOKD_LISTEN: `127.0.0.1:${api}`,
    NO_COLOR: "1",
  };
  const clientEnv = { ...env, HOOKD_SERVER: `http://127.0.0.1:${api}` };
  const placed = (command: string) =>
    command
      .replace(/^hookd /, `${HOOKD} `)
      .replaceAll("9000", String(first))
      .replaceAll("9001", String(second));

  const daemon = start(`${HOOKD} serve --dev`, env);
  await until("hookd serves", () => daemon.output().includes("hookd is ready"));

  const outputs = new Map<string, string>();
  const listeners: Running[] = [];
  const run = async (command: string) => {
    const running = start(placed(command), clientEnv);
    const code = await running.code;
    expect({ command, code, output: running.output() }).toMatchObject({ code: 0 });
    outputs.set(command, running.output());
    return running.output();
  };
  const background = async (command: string) => {
    const listener = start(placed(command), clientEnv);
    listeners.push(listener);
    await until(`${command} listens`, () => listener.output().length > 0);
  };

  const blocks = walkThrough();
  expect(blocks.map((block) => block.kind)).toEqual([
    "background",
    "run",
    "background",
    "run",
    "run",
    "mend",
    "run",
  ]);
  for (const block of blocks) {
    for (const command of block.commands) {
      if (block.kind === "background") await background(command);
      else if (block.kind === "mend") {
        const failing = listeners.at(-1);
        failing?.child.kill("SIGINT");
        await failing?.code;
        await background(command);
      } else if (command.includes("--status failed")) {
        // What the text says: first retrying, and a few seconds later dead.
        expect(await run(command)).toContain("retrying");
        await until(
          "the delivery is exhausted",
          async () => /dead.*exhausted/.test(await run(command)),
          20_000,
        );
      } else await run(command);
    }
  }

  const sent = [...outputs].find(([command]) => command.endsWith("--wait"))?.[1] ?? "";
  expect(sent).toContain("202");
  expect(sent).toMatch(/delivered, 200, attempt 1, \d+(\.\d+)? ms/);
  expect(listeners[0]?.output()).toContain("user.created");
  expect(listeners[0]?.output()).toMatch(/verified/);
  expect(outputs.get("hookd dlq list")).toMatch(
    /invoice\.paid[\s\S]*exhausted|exhausted[\s\S]*invoice\.paid/,
  );
  await until("the mended receiver got the event", () => listeners.at(-1)?.output().includes("invoice.paid"));
  const after = start(placed("hookd deliveries list --status success --event invoice.paid"), clientEnv);
  expect(await after.code).toBe(0);
  expect(after.output()).toContain("success");
}, 60_000);
