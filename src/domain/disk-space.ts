/** What the store may write over counts while this share of the limit is free on the disk: its log needs room there... */
const LOG_SHARE = 0.25;
/** ...and so much at least, with a limit that is no less. */
const LOG_BYTES = 64 * 1_048_576;

/**
 * Bytes that hookd may still write: what is free on the disk, and what deleting left in the store's file, which is written
 * over before the file grows. `limitBytes`: `limits.disk_free`.
 */
export function writableBytes(freeBytes: number, reusableBytes: number, limitBytes: number): number {
  const logBytes = Math.max(limitBytes * LOG_SHARE, Math.min(limitBytes, LOG_BYTES));
  return freeBytes >= logBytes ? freeBytes + reusableBytes : freeBytes;
}
