import type { DeliveryBody, PauseBody, WebhookBody } from "../http-api.ts";
import type { Api } from "./api.ts";

/** One delivery, as its pane shows it. */
export interface Detail {
  readonly id: string;
  /** Null: not known yet. */
  readonly delivery: DeliveryBody | null;
  /** Null where it is deleted. */
  readonly webhook: WebhookBody | null;
  /** Of hookd as a whole; null while it sends. */
  readonly pause: PauseBody | null;
  readonly error: string | null;
  /** First line that is shown. */
  readonly top: number;
}

export async function readDetail(api: Api, id: string): Promise<Omit<Detail, "top">> {
  const delivery = await api.delivery(id);
  const [webhook, pause] = await Promise.all([api.webhook(delivery.webhook_id), api.pause()]);
  return { id, delivery, webhook, pause, error: null };
}
