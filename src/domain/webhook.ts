import type { WebhookId } from "./ids.ts";

/** How often and when a failed delivery is tried again. */
export type RetryPolicy =
  /** Delays between attempts, in milliseconds: `n` delays make `n + 1` attempts. */
  | { readonly kind: "list"; readonly delaysMs: readonly number[] }
  /** Delay k (from 0) is `min(baseMs * factor^k, maxMs)`; `attempts` in all. */
  | {
      readonly kind: "exponential";
      readonly baseMs: number;
      readonly factor: number;
      readonly maxMs: number;
      readonly attempts: number;
    };

/** Why a webhook is off: by its user, by a 410, or after `breaker.disable_after` of nothing but failure. */
export type DisabledReason = "user" | "gone" | "failing";

export type Ordering = "none" | "fifo";

export interface RateLimit {
  readonly perSecond: number;
  readonly burst: number;
}

/**
 * A registration: the events of `userId` that match `eventId` go to `callbackUrl`. A plain value that can cross
 * threads. Null in a limit means the configured default.
 */
export interface Webhook {
  readonly id: WebhookId;
  readonly userId: string;
  /** An event id, or a pattern: `order.*`, `*`. */
  readonly eventId: string;
  /** As WHATWG URL normalised it. */
  readonly callbackUrl: string;
  readonly description: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  /** `SealedParts` under AES-256-GCM: opened only by senders and by `GET .../secret`. */
  readonly sealed: Uint8Array;
  /** Names of the user's own headers, for masked answers. */
  readonly headerNames: readonly string[];
  readonly isActive: boolean;
  readonly disabledReason: DisabledReason | null;
  readonly isPaused: boolean;
  readonly rateLimit: RateLimit | null;
  readonly concurrencyMax: number | null;
  readonly timeoutMs: number | null;
  readonly retry: RetryPolicy | null;
  /** Statuses that end a delivery at once, in the language of `retry.permanent`; null: the configured list. */
  readonly permanent: readonly string[] | null;
  readonly ordering: Ordering;
  readonly createdAt: number;
  readonly updatedAt: number;
  /** Rises by one with every change; an older version never replaces a newer one. */
  readonly version: number;
  /** Set on a tombstone: the webhook is gone, its deliveries are still listed. */
  readonly deletedAt: number | null;
}

/** What is sealed: signing secrets (newest first; the older ones with an end) and the values of own headers. */
export interface SealedParts {
  readonly secrets: readonly { readonly secret: string; readonly expiresAt: number | null }[];
  readonly headers: readonly (readonly [name: string, value: string])[];
}
