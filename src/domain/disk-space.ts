/** What the store may write over counts while this share of the limit is free on the disk: its log needs room there. */
const LOG_SHARE = 0.25;

/**
 * Bytes that hookd may still write: what is free on the disk, and what deleting left in the store's file, which is written
 * over before the file grows. `limitBytes`: `limits.disk_free`.
 */
export function writableBytes(freeBytes: number, reusableBytes: number, limitBytes: number): number {
  return freeBytes >= limitBytes * LOG_SHARE ? freeBytes + reusableBytes : freeBytes;
}
