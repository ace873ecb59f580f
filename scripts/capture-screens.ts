// node scripts/capture-screens.ts: docs/tail.svg and docs/top.svg, from the real program in a real terminal (tmux) on a
// daemon of its own with receivers that fail in several ways. Port 8420 must be free.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { svgOf } from "./ansi-svg.ts";
import { assertNode } from "./run.ts";

assertNode();
const ROOT = new URL("..", import.meta.url).pathname;
const HOOKD = join(ROOT, "bin/hookd");
const SERVER = "http://127.0.0.1:8420";
const COLUMNS = 132;
const ROWS = 26;

/** Who receives what, and how that ends. */
const WEBHOOKS = [
  { user_id: "acme", event_id: "order.paid", path: "/acme/orders" },
  { user_id: "globex", event_id: "order.*", path: "/globex/hooks" },
  { user_id: "initech", event_id: "invoice.sent", path: "/initech/invoices" },
  { user_id: "umbrella", event_id: "user.created", path: "/umbrella/users" },
  { user_id: "hooli", event_id: "refund.issued", path: "/hooli/refunds" },
];
const EVENTS = [
  ["acme", "order.paid"],
  ["globex", "order.shipped"],
  ["acme", "order.paid"],
  ["initech", "invoice.sent"],
  ["umbrella", "user.created"],
  ["hooli", "refund.issued"],
  ["acme", "order.paid"],
  ["globex", "order.paid"],
] as const;

const directory = mkdtempSync(join(tmpdir(), "hookd-screens-"));
const tmux = (...args: string[]) =>
  execFileSync("tmux", ["-S", join(directory, "tmux"), "-f", "/dev/null", ...args], { encoding: "utf8" });
const receiver = createServer((request, response) => {
  request.resume();
  request.on("end", () => answer(request.url ?? "", response));
}).listen(9000, "127.0.0.1");
const daemon = spawn(HOOKD, ["serve", "--dev", "--data-dir", directory], { stdio: "ignore" });

try {
  await until(async () => (await fetch(`${SERVER}/readyz`)).ok);
  const key = readFileSync(join(directory, "admin.key"), "utf8").trim();
  for (const { path, ...webhook } of WEBHOOKS) {
    await call(key, "webhooks", { ...webhook, callback_url: `http://127.0.0.1:9000${path}` });
  }
  await capture("tail", ["deliveries", "tail"], key, ["Up", "Up", "Up"]);
  await capture("top", ["top"], key, []);
} finally {
  daemon.kill();
  receiver.closeAllConnections();
  receiver.close();
  rmSync(directory, { recursive: true, force: true });
}

async function capture(name: string, command: string[], key: string, keys: string[]): Promise<void> {
  const args = ["-x", String(COLUMNS), "-y", String(ROWS), "-e", `HOOKD_DATA_DIR=${directory}`];
  tmux("new-session", "-d", ...args, HOOKD, ...command);
  try {
    await until(async () => tmux("capture-pane", "-p").includes("LIVE"));
    for (let round = 0; round < 8; round += 1) {
      for (const [user_id, event_id] of EVENTS) {
        await call(key, "events", { user_id, event_id, payload: { n: round } });
        await sleep(40);
      }
    }
    await sleep(300);
    if (keys.length > 0) tmux("send-keys", ...keys);
    await sleep(300);
    const file = join(ROOT, `docs/${name}.svg`);
    writeFileSync(file, svgOf(tmux("capture-pane", "-p", "-e"), COLUMNS, `hookd ${command.join(" ")}`));
    console.log(file);
  } finally {
    tmux("kill-server");
  }
}

function answer(path: string, response: ServerResponse): void {
  const [status, body, delayMs] = answerFor(path);
  setTimeout(() => response.writeHead(status).end(body), delayMs);
}

function answerFor(path: string): [status: number, body: string, delayMs: number] {
  if (path.startsWith("/globex")) return [503, "upstream connect error", 3];
  if (path.startsWith("/hooli")) return [404, "no such hook", 2];
  if (path.startsWith("/umbrella")) return [200, "ok", 180];
  if (path.startsWith("/initech") && Math.random() < 0.3) return [500, "<h1>Internal Server Error</h1>", 40];
  return [200, "ok", 4];
}

async function call(key: string, path: string, body: object): Promise<void> {
  const response = await fetch(`${SERVER}/v1/${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    if (await holds().catch(() => false)) return;
    await sleep(100);
  }
  throw new Error("it did not come to that within 10 s");
}
