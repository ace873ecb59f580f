import { writableBytes } from "../domain/disk-space.ts";

/** How much more than the limit must be free before events are taken again: no flapping around it. */
export const RELEASE_FACTOR = 1.1;

export interface DiskWatchDeps {
  /** Bytes free on the file system where the data is. */
  readonly freeBytes: () => number;
  /** Bytes in the store's file that deleting left free, written over before the file grows. */
  readonly reusableBytes: () => number;
  /** `limits.disk_free` now; 0: no limit. */
  readonly limitBytes: () => number;
  readonly onChange: (isLow: boolean, writableBytes: number) => void;
}

/**
 * Stops the intake before the disk is full: outcomes, folding and deleting need space too, so what was accepted can
 * still be delivered and recorded.
 *
 *   enough --less than the limit is left--> low --a tenth more than the limit is left--> enough
 */
export class DiskWatch {
  readonly #deps: DiskWatchDeps;
  isLow = false;
  /** On the file system. */
  freeBytes = 0;
  /** What hookd may still write: that, and what it may write over. */
  writableBytes = 0;

  constructor(deps: DiskWatchDeps) {
    this.#deps = deps;
    this.look();
  }

  look(): void {
    const { freeBytes, reusableBytes, limitBytes, onChange } = this.#deps;
    const limit = limitBytes() * (this.isLow ? RELEASE_FACTOR : 1);
    this.freeBytes = freeBytes();
    this.writableBytes = writableBytes(this.freeBytes, reusableBytes(), limit);
    const isLow = this.writableBytes < limit;
    if (isLow === this.isLow) return;
    this.isLow = isLow;
    onChange(isLow, this.writableBytes);
  }
}
