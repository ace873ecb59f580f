import type { Api } from "./api.ts";
import { type Health, healthOf, type Look, lookAt } from "./metrics.ts";

const SECOND_MS = 1_000;

/**
 * Looks at the daemon's metrics once a second, and tells how it does: null where they cannot be read. A look that takes
 * longer than a second is waited for.
 */
export function startSeconds(
  api: Pick<Api, "metrics">,
  tell: (health: Health | null) => void,
): { stop(): void } {
  let before: Look | null = null;
  let isAsking = false;
  let isStopped = false;

  async function ask(): Promise<void> {
    if (isAsking) return;
    isAsking = true;
    let health: Health | null = null;
    try {
      const look = lookAt(await api.metrics(), performance.now());
      health = healthOf(look, before);
      before = look;
    } catch {
      // Not every key may read them, and a daemon that is away is told of by the stream.
      before = null;
    }
    isAsking = false;
    if (!isStopped) tell(health);
  }

  void ask();
  const timer = setInterval(() => void ask(), SECOND_MS);
  return {
    stop() {
      isStopped = true;
      clearInterval(timer);
    },
  };
}
