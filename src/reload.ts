import type { Logger } from "pino";
import { changesBetween, withLive } from "./config/changes.ts";
import type { Config } from "./config/config.ts";
import { type ConfigSource, type Resolved, resolveConfig } from "./config/load.ts";

export interface ReloadDeps {
  /** Where the configuration is read from, again and again. */
  readonly source: ConfigSource;
  /** What hookd was started with. */
  readonly started: Resolved;
  readonly log: Logger;
  /** Wall clock, ms. */
  readonly now: () => number;
  /** Puts it in force, in every thread. */
  readonly apply: (config: Config) => void;
}

export interface Reload {
  /** Reads the configuration and takes up what may change live. A bad file changes nothing, and never throws. */
  reload(): void;
  counters(): Readonly<Record<string, number>>;
  gauges(): Readonly<Record<string, number>>;
}

/**
 * What SIGHUP does: each key is live or needs a restart (config/keys.ts), and the log says of each change which it is.
 * What needs a restart stays as it was, in every thread, and is named again at each reload until that comes.
 */
export function createReload({ source, started, log, now, apply }: ReloadDeps): Reload {
  let inForce = started;
  let loadedAt = now();
  let isRefused = false;
  let waiting = 0;
  const counts = { ok: 0, failed: 0 };

  function read(): Resolved | null {
    try {
      return resolveConfig(source);
    } catch (error) {
      const faults = (error instanceof Error ? error.message : String(error)).split("\n");
      log.error(
        { faults },
        "the configuration is wrong and was not taken up: hookd goes on with the one it has",
      );
      return null;
    }
  }

  return {
    reload() {
      const found = read();
      isRefused = found === null;
      counts[found === null ? "failed" : "ok"] += 1;
      if (found === null) return;
      loadedAt = now();
      const changes = changesBetween(inForce, found);
      const live = changes.filter((change) => change.isLive);
      const others = changes.filter((change) => !change.isLive);
      waiting = others.length;
      inForce = withLive(inForce, found);
      if (live.length > 0) apply(inForce.config);
      // `setting`, as the log hides what is called a key. No live key is a secret.
      for (const { name, from, to } of live) log.info({ setting: name, from, to }, "a setting was changed");
      if (others.length > 0) {
        log.warn(
          { settings: others.map(({ name }) => name) },
          "these settings were changed and need a restart of hookd",
        );
      }
      log.info({ changed: live.length, need_restart: waiting }, "the configuration was read again");
    },
    counters: () => ({
      'hookd_config_reloads_total{result="ok"}': counts.ok,
      'hookd_config_reloads_total{result="failed"}': counts.failed,
    }),
    gauges: () => ({
      hookd_config_loaded_seconds: loadedAt / 1_000,
      hookd_config_refused: isRefused ? 1 : 0,
      hookd_config_restart_settings: waiting,
    }),
  };
}
