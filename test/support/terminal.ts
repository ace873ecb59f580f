import { execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { temporaryDirectory } from "./world.ts";

export interface TestTerminal {
  /** What is on the screen now; with `hasEscapes` with its colours. */
  screen(options?: { hasEscapes?: boolean }): string;
  /** Keys by tmux's names (`Enter`, `Escape`, `C-c`) or text. */
  keys(...keys: readonly string[]): void;
  /** Resolves with the screen once it looks as asked; looks again whenever the program has written. */
  waitFor(looks: RegExp | ((screen: string) => boolean), ms?: number): Promise<string>;
  /** Any other tmux command of its server. */
  tmux(...args: readonly string[]): string;
}

export interface TerminalOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly columns?: number;
  readonly rows?: number;
}

/**
 * A real terminal (tmux, a server of its own) in which a shell runs the command, and says `exit: N` after it. It ends
 * with the test.
 */
export function openTerminal(command: readonly string[], options: TerminalOptions = {}): TestTerminal {
  const { columns = 120, rows = 30, env = {} } = options;
  const socket = join(temporaryDirectory(), "tmux");
  const tmux = (...args: readonly string[]) =>
    execFileSync("tmux", ["-S", socket, "-f", "/dev/null", ...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env.PATH ?? "", LANG: "C.UTF-8", ...env },
    });
  const quoted = command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
  // The shell waits when the command is done, so that what it left on the screen can be looked at.
  const script = `printf 'before\\n'; ${quoted}; echo "exit: $?"; exec cat`;
  tmux("new-session", "-d", "-x", String(columns), "-y", String(rows), "sh", "-c", script);
  tmux("set-option", "-g", "window-size", "manual");
  // A client that is told of all output, and so of when it is worth looking again.
  const watcher = spawn("tmux", ["-S", socket, "-C", "attach"], { stdio: ["pipe", "pipe", "ignore"] });
  const listeners = new Set<() => void>();
  /** What a test that failed still waits for is not looked for any more. */
  let isOver = false;
  watcher.stdout.on("data", () => {
    for (const listener of listeners) listener();
  });
  onTestFinished(() => {
    isOver = true;
    watcher.kill();
    tmux("kill-server");
  });
  const screen = ({ hasEscapes = false } = {}) => tmux("capture-pane", "-p", ...(hasEscapes ? ["-e"] : []));
  return {
    tmux,
    screen,
    keys: (...keys) => void tmux("send-keys", ...keys),
    waitFor(looks, ms = 15_000) {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          if (!isOver) end(new Error(`not within ${ms} ms: ${looks}\n${screen()}`));
        }, ms);
        const look = () => {
          if (isOver) return;
          const text = screen();
          if (looks instanceof RegExp ? looks.test(text) : looks(text)) end(text);
        };
        const end = (result: string | Error) => {
          clearTimeout(timer);
          listeners.delete(look);
          if (typeof result === "string") resolve(result);
          else reject(result);
        };
        listeners.add(look);
        look();
      });
    },
  };
}
