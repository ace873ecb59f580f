import type { DeliveryId, WebhookId } from "../../src/domain/ids.ts";
import type { SettledAttempt } from "../../src/engine/port.ts";

/** What can be said of a lane's breaker from its attempts alone. Never changed in place. */
interface View {
  /** The different deliveries that failed since the last answer, of attempts that surely counted. */
  readonly failed: readonly DeliveryId[];
  /** The first failure since the last answer, sure to count or not: no breaker opened before it. */
  readonly firstFailedAt: Instant | null;
  /** Open for certain, since this order number; null where it may be closed. */
  readonly openSince: number | null;
  /** The last failure that may have set the time of the next probe, when open. */
  readonly failedAt: Instant;
}

export interface Instant {
  readonly mono: number;
  readonly jumpsMs: number;
  readonly backwardMs: number;
}

const CLOSED: View = {
  failed: [],
  firstFailedAt: null,
  openSince: null,
  failedAt: { mono: 0, jumpsMs: 0, backwardMs: 0 },
};

/**
 * When breakers must be open, by the rule in words: so many different deliveries failed in a row. Where it
 * cannot be known (the webhook was changed meanwhile, the process ended before the state was written) it
 * claims nothing.
 */
export class BreakerModel {
  #live = new Map<WebhookId, View>();
  /** As of the last commit that was answered: it had to hold what was known when it was built. */
  #durable = new Map<WebhookId, View>();
  /** What was known when each commit on its way was built, by its order number. */
  readonly #atCommit = new Map<number, Map<WebhookId, View>>();
  /** Attempts that were decided before this order number may have been judged by what was before. */
  readonly #resetAt = new Map<WebhookId, number>();
  readonly #consecutive: number;
  readonly #probeMs: number;

  constructor(consecutive: number, probeMs: number) {
    this.#consecutive = consecutive;
    this.#probeMs = probeMs;
  }

  settled({ webhookId, deliveryId, attempt }: SettledAttempt, leasedAt: number, order: number, now: Instant) {
    const view = this.#view(webhookId);
    switch (attempt.verdict) {
      case "success":
      case "permanent":
      case "gone":
      case "blocked": {
        // The answer of an old URL says nothing of the new one.
        const isSure = leasedAt >= (this.#resetAt.get(webhookId) ?? 0);
        this.#live.set(webhookId, isSure ? CLOSED : { ...CLOSED, firstFailedAt: view.firstFailedAt });
        return;
      }
      case "lost":
        return;
      case "retry":
        this.#live.set(webhookId, this.#failedOnce(view, webhookId, deliveryId, leasedAt, order, now));
    }
  }

  /** The webhook was changed in a way that may end what is held against it. */
  reset(webhookId: WebhookId, order: number): void {
    const { firstFailedAt } = this.#view(webhookId);
    this.#live.set(webhookId, { ...CLOSED, firstFailedAt });
    this.#durable.delete(webhookId);
    this.#resetAt.set(webhookId, order);
  }

  commitBegun(begun: number): void {
    this.#atCommit.set(begun, new Map(this.#live));
  }

  committed(begun: number): void {
    this.#durable = this.#atCommit.get(begun) ?? this.#durable;
    this.#atCommit.delete(begun);
  }

  /** Open still where it was open on disk, and nothing had closed it since. */
  crashed(): void {
    const survivors = new Map<WebhookId, View>();
    for (const [webhookId, view] of this.#live) {
      const durable = this.#durable.get(webhookId) ?? CLOSED;
      const isOpen = view.openSince !== null && durable.openSince !== null;
      survivors.set(webhookId, {
        failed: [],
        firstFailedAt: durable.firstFailedAt ?? view.firstFailedAt,
        openSince: isOpen ? durable.openSince : null,
        failedAt: durable.failedAt,
      });
    }
    this.#live = survivors;
    this.#durable = new Map(survivors);
    this.#atCommit.clear();
  }

  /** Why an attempt that was decided at `leasedAt` may not be, or null. `others`: in flight beside it. */
  objection(webhookId: WebhookId, leasedAt: number, others: number, now: Instant): string | null {
    const { openSince, failedAt } = this.#view(webhookId);
    if (openSince === null || leasedAt <= openSince) return null;
    if (others > 0) return `a probe beside ${others} others`;
    // A clock that was set back far enough lets the probe go at once.
    if (now.backwardMs > failedAt.backwardMs) return null;
    const elapsedMs = now.mono - failedAt.mono + now.jumpsMs - failedAt.jumpsMs;
    if (elapsedMs >= this.#probeMs / 2 - 1) return null;
    return `a probe ${elapsedMs} ms after the last failure, with a mean of ${this.#probeMs} ms between them`;
  }

  /** Whether the lane has given a reason to be open. */
  mayBeOpen(webhookId: WebhookId): boolean {
    return this.#view(webhookId).firstFailedAt !== null;
  }

  #view(webhookId: WebhookId): View {
    return this.#live.get(webhookId) ?? CLOSED;
  }

  #failedOnce(
    view: View,
    webhookId: WebhookId,
    deliveryId: DeliveryId,
    leasedAt: number,
    order: number,
    now: Instant,
  ): View {
    if (view.openSince !== null) {
      return leasedAt > view.openSince ? { ...view, failedAt: now } : view;
    }
    const isSure = leasedAt > (this.#resetAt.get(webhookId) ?? 0);
    const failed = isSure && !view.failed.includes(deliveryId) ? [...view.failed, deliveryId] : view.failed;
    const isOpen = failed.length >= this.#consecutive;
    const firstFailedAt = view.firstFailedAt ?? now;
    // It may have opened at any failure since the first, by those that were not sure to count.
    return { failed, firstFailedAt, openSince: isOpen ? order : null, failedAt: firstFailedAt };
  }
}
