/** Durations and sizes as people write them, in the configuration, in the API and on the command line. */

const DURATION = /^(\d{1,15})(?:\.(\d{1,6}))?(ms|s|m|h|d)$/;
const DURATION_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
type DurationUnit = keyof typeof DURATION_MS;

const SIZE = /^(\d{1,15})(?:\.(\d{1,6}))?(B|KiB|MiB|GiB|TiB)?$/;
const SIZE_BYTES = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 } as const;
type SizeUnit = keyof typeof SIZE_BYTES;

/**
 * Whole milliseconds of `500ms`, `15s`, `1.5h`, `24h` or `3d`; null for anything else. A number without a unit is
 * refused: nobody can tell seconds from milliseconds by looking.
 */
export function parseDuration(text: string): number | null {
  const match = DURATION.exec(text);
  if (match === null) return null;
  return scaled(DURATION_MS[match[3] as DurationUnit], match[1], match[2]);
}

/** The shortest exact text of whole milliseconds: `15s`, `90s`, `5m`, `24h`, `3d`. One day is `24h`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  if (ms % DURATION_MS.d === 0 && ms > DURATION_MS.d) return `${ms / DURATION_MS.d}d`;
  for (const unit of ["h", "m", "s"] as const) {
    if (ms % DURATION_MS[unit] === 0) return `${ms / DURATION_MS[unit]}${unit}`;
  }
  return `${ms}ms`;
}

/**
 * Whole bytes of `512B`, `256KiB`, `8MiB`, `1.5GiB` or a bare number; null for anything else. Units of 1,000 (`KB`) are
 * refused: half of their readers take them for 1,024.
 */
export function parseSize(text: string): number | null {
  const match = SIZE.exec(text);
  if (match === null) return null;
  return scaled(SIZE_BYTES[(match[3] ?? "B") as SizeUnit], match[1], match[2]);
}

/** The shortest exact text of whole bytes: `256KiB`, `8MiB`, `1000B`. */
export function formatSize(bytes: number): string {
  for (const unit of ["TiB", "GiB", "MiB", "KiB"] as const) {
    if (bytes !== 0 && bytes % SIZE_BYTES[unit] === 0) return `${bytes / SIZE_BYTES[unit]}${unit}`;
  }
  return `${bytes}B`;
}

/** `whole.fraction * factor` where that is a safe whole number; in integers, for 1.1 * 1000 is not 1100. */
function scaled(factor: number, whole = "0", fraction = ""): number | null {
  const parts = BigInt(whole + fraction) * BigInt(factor);
  const divisor = 10n ** BigInt(fraction.length);
  if (parts % divisor !== 0n) return null;
  const value = Number(parts / divisor);
  return Number.isSafeInteger(value) ? value : null;
}
