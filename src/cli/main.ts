import { CommanderError } from "commander";
import { Failure, Finished, messageOf } from "./failure.ts";
import { createProgram } from "./program.ts";
import { createTerminal } from "./terminal.ts";

/** Exit codes: 0 done, 1 failed, 2 asked wrongly, 130 ended by Ctrl-C. */
async function main(): Promise<void> {
  // The reader of a pipe has gone (`| head`): there is nobody to write to, and nothing went wrong.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
  }
  const isLasting = ["serve", "listen", "bench", "backup", "restore"].includes(process.argv[2] ?? "");
  // Those end in their own way; the others leave no half-written line behind.
  if (!isLasting) {
    process.once("SIGINT", () => {
      createTerminal().rewrite("");
      process.exit(130);
    });
  }
  try {
    const args = process.argv.slice(2);
    await (await createProgram(args)).parseAsync(args, { from: "user" });
  } catch (error) {
    process.exitCode = report(error);
    // A daemon that failed half-way has threads that would keep the process.
    if (process.argv[2] === "serve") process.exit();
  }
}

/** Says what went wrong and what to do; gives the exit code. */
function report(error: unknown): number {
  if (error instanceof Finished) return 0;
  // commander has said it already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const terminal = createTerminal();
  terminal.note(`hookd: ${messageOf(error)}`, "red");
  if (error instanceof Failure) {
    if (error.hint !== null) terminal.note(error.hint);
    return error.exitCode;
  }
  if (error instanceof Error && error.name === "ConfigError") return 2;
  return 1;
}

// No top-level await: the binary's main program is CommonJS.
void main();
