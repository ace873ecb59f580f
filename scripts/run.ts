import { spawn } from "node:child_process";
import { join } from "node:path";

const NODE_MAJOR_MIN = 24;
const root = new URL("..", import.meta.url).pathname;

/** An optional dependency can be missing silently: everything would run on the machine's own Node. */
export function assertNode(): void {
  const major = Number(process.versions.node.split(".")[0]);
  if (major >= NODE_MAJOR_MIN) return;
  console.error(`hookd needs Node ${NODE_MAJOR_MIN} or newer, this is ${process.versions.node}: run npm ci`);
  process.exit(1);
}

/** Runs a command of node_modules/.bin with its output shown, prints how long it took, ends everything if it fails. */
export async function run(title: string, command: string, args: readonly string[]): Promise<void> {
  const begun = performance.now();
  const code = await new Promise<number>((resolve) => {
    const child = spawn(join(root, "node_modules/.bin", command), args, { cwd: root, stdio: "inherit" });
    child.once("exit", (status) => resolve(status ?? 1));
  });
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  console.log(`${title}: ${code === 0 ? "ok" : "FAILED"} in ${seconds} s\n`);
  if (code !== 0) process.exit(code);
}
