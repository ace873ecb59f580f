/** How the daemon does, of two looks at its metrics. Null: not known, or not yet. */
export interface Health {
  readonly queueDepth: number | null;
  readonly inFlight: number | null;
  readonly oldestDueSeconds: number | null;
  readonly dead: number | null;
  readonly lanesOpen: number | null;
  /** It takes events and sends nothing. */
  readonly isPaused: boolean;
  readonly attemptsPerSecond: number | null;
  /** 0 to 1, of the attempts between the looks; null without any. */
  readonly successShare: number | null;
}

export interface Look {
  readonly atMono: number;
  /** Sums over labels, by name. */
  readonly values: ReadonlyMap<string, number>;
  readonly successes: number;
}

const SERIES = /^(hookd_[a-z_]+)(\{[^}]*\})? ([0-9.eE+-]+)$/gm;

/** Reads Prometheus text (exposition format 0.0.4) as far as hookd writes it: docs/METRICS.md. */
export function lookAt(text: string, atMono: number): Look {
  const values = new Map<string, number>();
  let successes = 0;
  for (const [, name = "", labels = "", value] of text.matchAll(SERIES)) {
    values.set(name, (values.get(name) ?? 0) + Number(value));
    if (name === "hookd_attempts_total" && labels.includes('verdict="success"')) successes += Number(value);
  }
  return { atMono, values, successes };
}

export function healthOf(now: Look, before: Look | null): Health {
  const read = (name: string) => now.values.get(name) ?? null;
  const attempts = (read("hookd_attempts_total") ?? 0) - (before?.values.get("hookd_attempts_total") ?? 0);
  const seconds = before === null ? 0 : (now.atMono - before.atMono) / 1_000;
  // Counters that went back are those of a daemon that was started again.
  const isKnown = before !== null && seconds > 0 && attempts >= 0;
  return {
    queueDepth: read("hookd_queue_depth"),
    inFlight: read("hookd_in_flight"),
    oldestDueSeconds: read("hookd_oldest_due_seconds"),
    dead: read("hookd_dlq_size"),
    lanesOpen: read("hookd_lanes_open"),
    isPaused: read("hookd_paused") === 1,
    attemptsPerSecond: isKnown ? attempts / seconds : null,
    successShare: isKnown && attempts > 0 ? (now.successes - before.successes) / attempts : null,
  };
}
