import { closeSync, openSync } from "node:fs";

/** Ended by SIGHUP, as a shell counts it. */
const HUNG_UP = 129;

/**
 * SIGHUP has two meanings: "read your configuration again" from whoever looks after a daemon, and "your terminal is gone"
 * from the kernel, where hookd was started in a window that is closed: then it ends, as any command there does. They are
 * told apart by whether there is a terminal still, if there was one. A reload that is asked for while hookd starts comes
 * after that.
 */
export function reloadOnHangup(reload: Promise<() => void>): void {
  const hadTerminal = hasTerminal();
  process.on("SIGHUP", () => {
    // With nowhere to write a word to. What was in flight is tried again after the next start.
    if (hadTerminal && !hasTerminal()) process.exit(HUNG_UP);
    void reload.then((run) => run());
  });
}

/** Whether the process has a controlling terminal. */
function hasTerminal(): boolean {
  try {
    closeSync(openSync("/dev/tty", "r+"));
    return true;
  } catch {
    return false;
  }
}
