import { createInterface } from "node:readline/promises";
import { Failure, Finished } from "./failure.ts";
import type { Terminal } from "./terminal.ts";

/**
 * Asks on the terminal, unless `--yes` was given. `question` says what would happen to how many. Throws Finished for a
 * no, and a Failure where nobody can be asked: silence is no yes.
 */
export async function confirm(terminal: Terminal, isYes: boolean, question: string): Promise<void> {
  if (isYes) return;
  if (!terminal.isInteractive) {
    throw new Failure(`${question} Nobody can be asked here, so nothing was done.`, {
      exitCode: 2,
      hint: "give --yes to go ahead",
    });
  }
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  reader.on("SIGINT", () => process.exit(130));
  // Ctrl-D closes without an answer.
  const closed = new Promise<string>((resolve) => reader.once("close", () => resolve("")));
  try {
    const answer = await Promise.race([reader.question(`${question} [y/N] `), closed]);
    if (/^y(es)?$/i.test(answer.trim())) return;
  } finally {
    reader.close();
  }
  terminal.note("Nothing was done.");
  throw new Finished();
}
