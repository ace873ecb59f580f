import { formatSpan } from "../lib/format.ts";
import { type Ink, type Line, type Span, spaced } from "./line.ts";
import type { Health } from "./metrics.ts";

// Made once: making one costs more than a frame's other figures together.
const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const TENTHS = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });

/** How the daemon does, in a line. */
export function healthLine(health: Health | null): Line {
  const share = health?.successShare ?? null;
  const paused: Span = { text: "hookd is PAUSED, until hookd resume", ink: "red", isBold: true };
  return spaced([
    ...(health?.isPaused === true ? [paused] : []),
    figure("attempts/s", health?.attemptsPerSecond ?? null),
    { text: `success ${shareText(share)}`, ink: shareInk(share) },
    figure("queue", health?.queueDepth ?? null),
    { text: `oldest due ${spanText(health?.oldestDueSeconds ?? null)}` },
    figure("in flight", health?.inFlight ?? null),
    figure("dead", health?.dead ?? null),
    {
      ...figure("breakers open", health?.lanesOpen ?? null),
      ink: (health?.lanesOpen ?? 0) > 0 ? "red" : undefined,
    },
  ]);
}

export function figure(name: string, value: number | null): Span {
  return { text: `${name} ${numberText(value)}` };
}

export function numberText(value: number | null): string {
  if (value === null) return "-";
  return (value > 0 && value < 10 ? TENTHS : WHOLE).format(value);
}

export function shareText(share: number | null): string {
  if (share === null) return "-";
  // 99.97 % is not all of them, and neither is 0.03 % nothing.
  const percent = share * 100;
  const text =
    percent > 99.9 && percent < 100 ? "99.9" : percent > 0 && percent < 0.1 ? "0.1" : percent.toFixed(1);
  return `${text.replace(/\.0$/, "")}%`;
}

export function shareInk(share: number | null): Ink | undefined {
  if (share === null) return undefined;
  return share >= 0.99 ? "green" : share >= 0.9 ? "yellow" : "red";
}

function spanText(seconds: number | null): string {
  return seconds === null ? "-" : formatSpan(seconds * 1_000);
}
