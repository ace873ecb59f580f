import type { Config } from "../config/config.ts";
import { formatId, type IdSalt } from "../domain/ids.ts";
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
