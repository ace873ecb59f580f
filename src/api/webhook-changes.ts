import type { ApiKey } from "../domain/key.ts";
import type { SealedParts, Webhook } from "../domain/webhook.ts";
import type { WebhookChanges, WebhookFields } from "../engine/port.ts";
import { seenWebhook } from "./access.ts";
import type { ApiContext } from "./context.ts";

/** Reads, changes and forgets what was cached, without another change of the same webhook in between. */
export async function changeWebhook(
  context: ApiContext,
  key: ApiKey,
  id: string,
  changesOf: (webhook: Webhook) => WebhookChanges,
): Promise<Webhook> {
  const { userId, eventId } = await seenWebhook(context, key, id);
  return context.inTurn(turnOf(userId, eventId), async () => {
    const before = await seenWebhook(context, key, id);
    const after = await context.engine.updateWebhook(before.id, changesOf(before));
    context.registry.invalidateUser(after.userId);
    return after;
  });
}

/** The name under which changes of a webhook wait for each other. Neither part can hold a space. */
export function turnOf(userId: string, eventId: string): string {
  return `${userId} ${eventId}`;
}

export function sealedFields(
  context: ApiContext,
  parts: SealedParts,
): Pick<WebhookFields, "sealed" | "headerNames"> {
  return { sealed: context.sealer.seal(parts), headerNames: parts.headers.map(([name]) => name) };
}

/** What is sealed of a webhook; of none, nothing. */
export function partsOf(context: ApiContext, webhook: Webhook | undefined): SealedParts {
  return webhook === undefined ? { secrets: [], headers: [] } : context.sealer.open(webhook.sealed);
}
