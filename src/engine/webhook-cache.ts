import { LRUCache } from "lru-cache";
import type { WebhookId } from "../domain/ids.ts";
import type { Webhook } from "../domain/webhook.ts";
import type { Store } from "../store/port.ts";

/** What `load` found. */
export interface Loaded {
  readonly found: ReadonlyMap<WebhookId, Webhook>;
  /** Of the cache, before it was looked at. */
  readonly changes: number;
}

/**
 * The director's own view of webhooks, by id. Every change of a webhook goes through the director, so what is cached
 * is what is stored. Bounded; misses are read together, before the commit that needs them.
 */
export class WebhookCache {
  readonly #store: Store;
  readonly #cache: LRUCache<WebhookId, Webhook>;
  /** Versions that were put. */
  #changes = 0;

  constructor(store: Store, entriesMax: number) {
    this.#store = store;
    this.#cache = new LRUCache({ max: entriesMax });
  }

  get(id: WebhookId): Webhook | undefined {
    return this.#cache.get(id);
  }

  /** An older version, read before a change and arriving after it, is passed over. */
  put(webhook: Webhook): void {
    const known = this.#cache.get(webhook.id);
    if (known && known.version > webhook.version) return;
    this.#changes += 1;
    this.#cache.set(webhook.id, webhook);
  }

  /**
   * Those webhooks, read together where they are missing. Use what is returned, through `newest`: more than the cache holds
   * may be asked for, and a webhook that was missed would be a delivery that vanished. What the store does not have is
   * left out.
   */
  async load(ids: ReadonlySet<WebhookId>): Promise<Loaded> {
    const changes = this.#changes;
    const found = new Map<WebhookId, Webhook>();
    const missing: WebhookId[] = [];
    for (const id of ids) {
      const known = this.#cache.get(id);
      if (known) found.set(id, known);
      else missing.push(id);
    }
    if (missing.length === 0) return { found, changes };
    for (const webhook of await this.#store.getWebhooks(missing)) {
      if (!webhook) continue;
      this.put(webhook);
      found.set(webhook.id, webhook);
    }
    return { found, changes };
  }

  /**
   * What `load` gave, as it is now: one may have been changed while the others were read, and up to the moment in which
   * the caller goes on. Call it right before their lanes are made, which would keep to an older version.
   */
  newest({ found, changes }: Loaded): ReadonlyMap<WebhookId, Webhook> {
    if (changes === this.#changes) return found;
    const newest = new Map(found);
    for (const [id, webhook] of found) {
      const known = this.#cache.get(id);
      if (known && known.version > webhook.version) newest.set(id, known);
    }
    return newest;
  }
}
