import type { WebhookBody } from "../http-api.ts";
import type { Api, WebhookQuery } from "./api.ts";

/** What one table shows: of more, its readers are asked to narrow it. 25 pages of the API. */
export const WEBHOOKS_MAX = 5_000;

/** All webhooks with what their lanes are doing, up to a bound. */
export async function allWebhooks(
  api: Pick<Api, "webhooks">,
  query: WebhookQuery,
): Promise<{ webhooks: readonly WebhookBody[]; isPartial: boolean }> {
  const webhooks: WebhookBody[] = [];
  let cursor: string | undefined;
  do {
    const page = await api.webhooks({ ...query, cursor });
    webhooks.push(...page.data);
    cursor = page.next_cursor ?? undefined;
  } while (cursor !== undefined && webhooks.length < WEBHOOKS_MAX);
  return { webhooks, isPartial: cursor !== undefined };
}
