import { dueMono, type Load } from "./load.ts";
import type { SeriesRow } from "./result.ts";
import type { Rig } from "./rig.ts";
import type { DaemonSample } from "./sampler.ts";

/** The rig's whole time line, second by second. */
export function seriesOf(rig: Rig): SeriesRow[] {
  const seconds = rig.recorder.seconds();
  const offered = offeredBySecond(rig.loads, rig.epochMono, seconds.length);
  const { samples } = rig.sampler;
  return seconds.map((counts, second) => {
    const endMono = rig.epochMono + (second + 1) * 1_000;
    const at = lastBefore(samples, endMono);
    const [before, now] = [samples[at - 1], samples[at]];
    return {
      second,
      offered: offered[second] ?? 0,
      ...counts,
      backlog: now?.backlog ?? null,
      cpuCores: coresBetween(before, now),
      rssBytes: now?.rssBytes ?? 0,
      diskBytes: now?.diskBytes ?? 0,
    };
  });
}

function offeredBySecond(loads: readonly Load[], epochMono: number, seconds: number): number[] {
  const offered = new Array<number>(seconds).fill(0);
  for (const load of loads) {
    if (load.ratePerSecond === null) continue;
    // Counted in bulk: of each second, what is due before its end less what was due before its start.
    const dueBefore = (mono: number) => {
      const sinceMs = mono - dueMono({ ...load, batch: 1 }, 0);
      const due = Math.ceil((sinceMs / 1_000) * (load.ratePerSecond ?? 0));
      return Math.min(load.count, Math.max(0, due));
    };
    for (let second = 0; second < seconds; second += 1) {
      const startMono = epochMono + second * 1_000;
      offered[second] = (offered[second] ?? 0) + dueBefore(startMono + 1_000) - dueBefore(startMono);
    }
  }
  return offered;
}

function lastBefore(samples: readonly DaemonSample[], mono: number): number {
  return samples.findLastIndex(({ atMono }) => atMono <= mono);
}

function coresBetween(before: DaemonSample | undefined, now: DaemonSample | undefined): number {
  if (before === undefined || now === undefined) return 0;
  return Math.max(0, ((now.cpu.seconds - before.cpu.seconds) * 1_000) / (now.atMono - before.atMono));
}
