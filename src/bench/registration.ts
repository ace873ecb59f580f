import { Pool } from "undici";
import type { DaemonProcess } from "./daemon-process.ts";
import { type Owners, userOf } from "./load.ts";
import { eventName, originOf, userName } from "./names.ts";

const CONNECTIONS = 32;

export interface Registrations {
  readonly first: number;
  readonly count: number;
  readonly origins: number;
  readonly receiverPort: number;
  /** Of the n-th webhook; left out: an event and one of the users for each. */
  readonly eventOf: (webhook: number) => string;
  readonly userOf: (webhook: number) => string;
  /** Merged into what is registered. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

/** An event of its own for each webhook, and users in turn. */
export function inTurn(
  owners: Owners,
  eventOf: (webhook: number) => string | null,
): Pick<Registrations, "eventOf" | "userOf"> {
  return {
    eventOf: (webhook) => eventOf(webhook) ?? eventName(webhook),
    userOf: (webhook) => userName(userOf(webhook, owners)),
  };
}

/** Registers webhooks through the API, as anybody would. Throws at the first that is refused. */
export async function register(
  daemon: DaemonProcess,
  registrations: Registrations,
  onProgress: (done: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const { first, count, origins, receiverPort, eventOf, userOf, extra } = registrations;
  const pool = new Pool(`http://${daemon.host}:${daemon.port}`, { connections: CONNECTIONS, pipelining: 1 });
  let next = first;
  const worker = async () => {
    while (next < first + count) {
      signal.throwIfAborted();
      const webhook = next;
      next += 1;
      const body = JSON.stringify({
        user_id: userOf(webhook),
        event_id: eventOf(webhook),
        callback_url: `${originOf(webhook % origins, receiverPort)}/h/${webhook}`,
        ...extra,
      });
      const answer = await pool.request({
        method: "POST",
        path: "/v1/webhooks",
        headers: { authorization: `Bearer ${daemon.key}`, "content-type": "application/json" },
        body,
      });
      if (answer.statusCode !== 201) {
        throw new Error(`webhook ${webhook} was refused: ${answer.statusCode} ${await answer.body.text()}`);
      }
      await answer.body.dump();
      if (webhook % 1_000 === 999) onProgress(webhook - first + 1);
    }
  };
  try {
    await Promise.all(Array.from({ length: CONNECTIONS }, worker));
  } finally {
    await pool.destroy();
  }
}
