import type { Terminal } from "./terminal.ts";

/** Between two lines where nobody watches live: a log should show that it goes on, not how. */
const LINE_EVERY_MS = 5_000;

/** Tells on stderr how a long wait goes: one line that is rewritten on a terminal, else a line every few seconds. */
export function createProgress(terminal: Terminal): { update(text: string): void; end(): void } {
  let lastAtMono = performance.now();
  let last = "";
  return {
    update(text) {
      if (text === last) return;
      if (terminal.hasLiveErrors) {
        terminal.rewrite(text);
      } else {
        if (performance.now() - lastAtMono < LINE_EVERY_MS) return;
        lastAtMono = performance.now();
        terminal.note(text);
      }
      last = text;
    },
    end() {
      terminal.rewrite("");
    },
  };
}
