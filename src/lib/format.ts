/** `4 ms`, `1.2 s`, `3 min`: for people. */
export function formatMs(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return formatSpan(ms);
}

/** `5s`, `3m`, `2h`, `4d`: one unit, rounded down. */
export function formatSpan(ms: number): string {
  const seconds = Math.floor(Math.max(0, ms) / 1000);
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** A time relative to now: `12s ago`, `in 4s`; empty for none, and as it is where it is no time. */
export function formatAgo(time: string | null | undefined, now: number): string {
  if (time === null || time === undefined) return "";
  const at = Date.parse(time);
  if (Number.isNaN(at)) return time;
  return at > now ? `in ${formatSpan(at - now)}` : `${formatSpan(now - at)} ago`;
}

/** A time both ways: `12s ago (2026-11-22T08:00:00.000Z)`; as it is where it is no time. */
export function formatTime(time: string, now: number): string {
  return Number.isNaN(Date.parse(time)) ? time : `${formatAgo(time, now)} (${time})`;
}

/** `1 delivery`, `2 deliveries`. */
export function plural(count: number, one: string, many: string = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
