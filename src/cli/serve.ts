import type { Command } from "commander";
import { endWithParentWhenTold } from "../bench/end-with-parent.ts";
import { addCommand, type Call, run } from "./command.ts";
import { Failure, messageOf } from "./failure.ts";
import { reloadOnHangup } from "./hangup.ts";
import type { Terminal } from "./terminal.ts";

interface ServeOptions {
  readonly config?: string;
  readonly dataDir?: string;
  readonly listen?: string;
  readonly dev?: boolean;
  readonly acceptClock?: boolean;
}

export function addServeCommand(program: Command): void {
  addCommand(program, "serve", "Run the daemon", [
    "hookd serve --dev",
    "hookd serve --config /etc/hookd.yaml --data-dir /var/lib/hookd",
  ])
    .option("--config <file>", "configuration file (HOOKD_CONFIG); config.example.yaml shows all there is")
    .option("--data-dir <dir>", "where the data is kept (HOOKD_DATA_DIR; ./hookd-data)")
    .option("--listen <host:port>", "where the API is served (HOOKD_LISTEN; 127.0.0.1:8420)")
    .option("--dev", "let callback URLs be http and on loopback; listens on loopback only")
    .option(
      "--accept-clock",
      "the wall clock is right, although it jumped by more than an hour since the last run",
    )
    .action(run<[], ServeOptions>(serve));
}

async function serve({ options, terminal }: Call<[], ServeOptions>): Promise<void> {
  endWithParentWhenTold();
  const { resolveConfig } = await import("../config/load.ts");
  const source = {
    ...(options.config === undefined ? {} : { file: options.config }),
    env: terminal.env,
    flags: { dev: options.dev === true, data_dir: options.dataDir, listen: options.listen },
  };
  const started = resolveConfig(source);
  const { config } = started;
  const { startDaemon } = await import("../daemon.ts");
  // Listened for from the first moment: a stop during a slow start must not be lost, nor kill what is half open.
  const stopAsked = stopSignal(terminal);
  const reload = Promise.withResolvers<() => void>();
  reloadOnHangup(reload.promise);
  const { host, port } = config.listen;
  const daemon = await startDaemon(started, {
    acceptClock: options.acceptClock === true,
    source,
  }).catch((error: unknown) => {
    throw startFailure(error, `${host}:${port}`);
  });
  reload.resolve(daemon.reload);
  const { address, adminKeyPath, isFirstStart, adminKey, pause } = daemon;
  terminal.note(
    `hookd listens on ${/^https?:/.test(address) ? address : `http://${address}`}, data in ${config.dataDir}`,
  );
  if (config.dev) terminal.note("Development: callback URLs may be http and on loopback.", "yellow");
  if (isFirstStart) {
    terminal.note(`The admin key is in ${adminKeyPath}; hookd's commands on this machine find it there.`);
    // Only where a person reads along, and never into a log.
    if (adminKey !== null && terminal.isTable && terminal.hasLiveErrors)
      terminal.line(`Admin key: ${adminKey}`);
  }
  if (pause !== null) {
    const why =
      pause.reason === "restored"
        ? "it was restored from a backup, and its original may still run"
        : "by an operator";
    terminal.note(
      `Paused since ${new Date(pause.since).toISOString()} (${why}): events are taken, nothing is sent. Go on with: hookd resume`,
      "yellow",
    );
  }
  const ended = await Promise.race([stopAsked.then(() => null), daemon.failed]);
  if (ended === null) {
    await daemon.stop();
    terminal.note("hookd has stopped.");
    process.exit(0);
  }
  terminal.note(`hookd failed: ${messageOf(ended)}`, "red");
  process.exit(1);
}

/** Resolves with the first SIGTERM or SIGINT; a second one ends the process at once. */
function stopSignal(terminal: Terminal): Promise<void> {
  return new Promise((resolve) => {
    let isStopping = false;
    const onSignal = (signal: NodeJS.Signals) => {
      if (isStopping) {
        terminal.note(
          `${signal} again: ending at once. What was in flight is tried again after the next start.`,
        );
        process.exit(1);
      }
      isStopping = true;
      terminal.note(`${signal}: taking no more events, finishing what is in flight. Once more ends at once.`);
      resolve();
    };
    process.on("SIGTERM", onSignal);
    process.on("SIGINT", onSignal);
  });
}

function startFailure(error: unknown, address: string): unknown {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : null;
  if (code === "EADDRINUSE") {
    return new Failure(`${address} is in use`, {
      hint: "is another hookd running? stop it, or choose another address: --listen here, --server (HOOKD_SERVER) for commands",
      cause: error,
    });
  }
  if (code === "EACCES" || code === "EADDRNOTAVAIL") {
    return new Failure(`hookd cannot start: ${messageOf(error)}`, {
      hint: `check --listen (${address}) and --data-dir, and who may use them`,
      cause: error,
    });
  }
  return error;
}
