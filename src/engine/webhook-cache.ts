import { LRUCache } from "lru-cache";
import type { WebhookId } from "../domain/ids.ts";
import type { Webhook } from "../domain/webhook.ts";
import type { Store } from "../store/port.ts";

/**
 * The director's own view of webhooks, by id. Every change of a webhook goes through the director, so what is cached
 * is what is stored. Bounded; misses are read together, before the commit that needs them.
 */
export class WebhookCache {
  readonly #store: Store;
  readonly #cache: LRUCache<WebhookId, Webhook>;

  constructor(store: Store, entriesMax: number) {
    this.#store = store;
    this.#cache = new LRUCache({ max: entriesMax });
  }

  get(id: WebhookId): Webhook | undefined {
    return this.#cache.get(id);
  }

  put(webhook: Webhook): void {
    this.#cache.set(webhook.id, webhook);
  }

  /** Reads those that are missing. What the store does not have either stays unknown. */
  async load(ids: Iterable<WebhookId>): Promise<void> {
    const missing = [...new Set(ids)].filter((id) => !this.#cache.has(id));
    if (missing.length === 0) return;
    for (const webhook of await this.#store.getWebhooks(missing)) if (webhook) this.put(webhook);
  }
}
