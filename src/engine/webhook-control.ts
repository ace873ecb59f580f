import type { WebhookId } from "../domain/ids.ts";
import { Problem } from "../domain/problem.ts";
import type { DisabledReason, Webhook } from "../domain/webhook.ts";
import type { Clock } from "../lib/clock.ts";
import type { Store } from "../store/port.ts";
import type { JobCommands } from "./job-commands.ts";
import type { WebhookChanges, WebhookFields } from "./port.ts";
import type { WebhookCache } from "./webhook-cache.ts";

export interface WebhookControlDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly nextSeq: () => number;
  readonly webhooks: WebhookCache;
  /** The change is durable. `before`: null for a new one. `isMended`: its receiver is said to work again. */
  readonly onChanged: (webhook: Webhook, before: Webhook | null, isMended: boolean) => void;
  readonly jobs: JobCommands;
}

/** Changes that overtook each other are made again on what is stored now, so often at most. */
const TRIES_MAX = 10;

/** Creating, changing and ending webhooks. A change takes effect with the next attempt. */
export class WebhookControl {
  readonly #deps: WebhookControlDeps;
  /** Webhooks that hookd itself is switching off. */
  readonly #disabling = new Set<WebhookId>();

  constructor(deps: WebhookControlDeps) {
    this.#deps = deps;
  }

  /** Also a tombstone is "no such webhook". */
  async get(id: WebhookId): Promise<Webhook> {
    const [webhook] = await this.#deps.store.getWebhooks([id]);
    if (!webhook || webhook.deletedAt !== null) throw new Problem("not_found", "there is no such webhook");
    return webhook;
  }

  async create(fields: WebhookFields): Promise<Webhook> {
    const { store, clock, nextSeq, onChanged } = this.#deps;
    const now = clock.now();
    const webhook: Webhook = {
      ...fields,
      id: nextSeq() as WebhookId,
      disabledReason: fields.isActive ? null : "user",
      isPaused: false,
      createdAt: now,
      updatedAt: now,
      version: 1,
      deletedAt: null,
    };
    const inserted = await store.insertWebhook(webhook);
    if (!inserted) throw await this.#exists(fields.userId, fields.eventId);
    onChanged(inserted, null, false);
    return inserted;
  }

  async put(fields: WebhookFields): Promise<{ webhook: Webhook; created: boolean }> {
    for (let attempt = 0; attempt < TRIES_MAX; attempt += 1) {
      const found = await this.#deps.store.findWebhook(fields.userId, fields.eventId);
      try {
        if (found) return { webhook: await this.update(found.id, fields), created: false };
        return { webhook: await this.create(fields), created: true };
      } catch (error) {
        // Deleted or created meanwhile: look again.
        if (!(error instanceof Problem) || !["not_found", "webhook_exists"].includes(error.code)) throw error;
      }
    }
    throw new Problem("overloaded", "the webhook is being changed by others: try again");
  }

  async update(id: WebhookId, changes: WebhookChanges): Promise<Webhook> {
    const { replayDisabled, isMended = false, ...fields } = changes;
    const change = (webhook: Webhook) => ({
      ...webhook,
      ...fields,
      disabledReason: reasonAfter(webhook, fields.isActive),
    });
    const isEnding = fields.isActive === false && (await this.get(id)).isActive;
    const changed = () => this.#change(id, change, isMended);
    const after = isEnding ? await this.#endingOpen(id, changed) : await changed();
    if (after.isActive && replayDisabled) {
      await this.#deps.jobs.create({
        kind: "replay",
        userId: after.userId,
        select: { webhookId: id, reason: "disabled" },
        ratePerSecond: null,
      });
    }
    return after;
  }

  /** hookd itself switches the webhook off. Several attempts may ask for it at once. */
  async disable({ id, callbackUrl }: Webhook, reason: DisabledReason): Promise<void> {
    if (this.#disabling.has(id)) return;
    this.#disabling.add(id);
    const isMeant = (webhook: Webhook) => webhook.isActive && webhook.callbackUrl === callbackUrl;
    const change = (webhook: Webhook) =>
      isMeant(webhook) ? { ...webhook, isActive: false, disabledReason: reason } : null;
    try {
      if (isMeant(await this.get(id))) await this.#endingOpen(id, () => this.#change(id, change));
    } finally {
      this.#disabling.delete(id);
    }
  }

  async delete(id: WebhookId): Promise<void> {
    const now = this.#deps.clock.now();
    await this.#endingOpen(id, () =>
      this.#change(id, (webhook) => ({ ...webhook, isActive: false, deletedAt: now })),
    );
  }

  /** `change` gives null where nothing is to be changed. */
  async #change(
    id: WebhookId,
    change: (webhook: Webhook) => Webhook | null,
    isMended = false,
  ): Promise<Webhook> {
    const { store, clock, onChanged } = this.#deps;
    for (let attempt = 0; attempt < TRIES_MAX; attempt += 1) {
      const before = await this.get(id);
      const changed = change(before);
      if (!changed) return before;
      const after = { ...changed, updatedAt: clock.now(), version: before.version + 1 };
      if (await store.updateWebhook(after)) {
        onChanged(after, before, isMended);
        return after;
      }
      const holder = await store.findWebhook(after.userId, after.eventId);
      if (holder && holder.id !== id) throw await this.#exists(after.userId, after.eventId);
    }
    throw new Problem("overloaded", "the webhook is being changed by others: try again");
  }

  /**
   * A change that switches a webhook off. The job that ends what is open is stored before: whatever comes in between, no
   * webhook is off whose deliveries nobody ends. A job that finds its webhook on ends nothing.
   */
  async #endingOpen(id: WebhookId, change: () => Promise<Webhook>): Promise<Webhook> {
    const { jobs } = this.#deps;
    const { userId } = await this.get(id);
    const job = await jobs.store({ kind: "end", userId, webhookId: id });
    try {
      return await change();
    } finally {
      jobs.start(job);
    }
  }

  async #exists(userId: string, eventId: string): Promise<Problem> {
    const holder = await this.#deps.store.findWebhook(userId, eventId);
    return new Problem("webhook_exists", `user ${userId} has a webhook for ${eventId} already`, {
      details: { webhook_id: holder?.id ?? null },
    });
  }
}

function reasonAfter(webhook: Webhook, isActive: boolean | undefined): DisabledReason | null {
  if (isActive === undefined) return webhook.disabledReason;
  if (isActive) return null;
  return webhook.isActive ? "user" : webhook.disabledReason;
}
