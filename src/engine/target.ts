import type { Config } from "../config/config.ts";
import { formatId, type IdSalt, type WebhookId } from "../domain/ids.ts";
import type { Webhook } from "../domain/webhook.ts";
import type { Target } from "../sender/port.ts";

/** What a sender is told of a webhook: the defaults are filled in, the secrets stay sealed. */
export function targetOf(webhook: Webhook, config: Config, salt: IdSalt): Target {
  return {
    webhookId: webhook.id,
    publicId: formatId("wh", webhook.id, salt),
    callbackUrl: webhook.callbackUrl,
    timeoutMs: webhook.timeoutMs ?? config.delivery.timeoutMs,
    sealed: webhook.sealed,
    permanent: webhook.permanent ?? config.retry.permanent,
  };
}

/**
 * The sender that makes a webhook's attempts: always the same one, so that its connections are reused. Ids made in
 * different milliseconds are multiples of 4,096, so their bits are mixed before they are dealt out.
 */
export function senderOf(webhookId: WebhookId, senderCount: number): number {
  const folded = Math.floor(webhookId / 4096) ^ (webhookId % 4096);
  return ((Math.imul(folded, 0x9e3779b1) >>> 16) * senderCount) >>> 16;
}
