/** How much more than the limit must be free before events are taken again: no flapping around it. */
export const RELEASE_FACTOR = 1.1;

export interface DiskWatchDeps {
  /** Bytes that hookd may still write where its data is. */
  readonly freeBytes: () => number;
  /** `limits.disk_free` now; 0: no limit. */
  readonly limitBytes: () => number;
  readonly onChange: (isLow: boolean, freeBytes: number) => void;
}

/**
 * Stops the intake before the disk is full: outcomes, folding and deleting need space too, so what was accepted can
 * still be delivered and recorded.
 *
 *   enough --less than the limit is free--> low --a tenth more than the limit is free--> enough
 */
export class DiskWatch {
  readonly #deps: DiskWatchDeps;
  isLow = false;
  freeBytes: number;

  constructor(deps: DiskWatchDeps) {
    this.#deps = deps;
    this.freeBytes = deps.freeBytes();
    this.look();
  }

  look(): void {
    const { freeBytes, limitBytes, onChange } = this.#deps;
    this.freeBytes = freeBytes();
    const isLow = this.freeBytes < limitBytes() * (this.isLow ? RELEASE_FACTOR : 1);
    if (isLow === this.isLow) return;
    this.isLow = isLow;
    onChange(isLow, this.freeBytes);
  }
}
