import type { EndedDelivery } from "../domain/delivery.ts";

/** Cold storage: where deliveries go before retention deletes them. */
export interface Archive {
  /**
   * Resolves when all of them survive power loss; rejects when that is not sure, and they are given again later. One
   * call at a time. What a crash or a rejection cuts short may be kept twice: readers tell by id.
   */
  append(ended: readonly EndedDelivery[]): Promise<void>;
  stop(): Promise<void>;
}
