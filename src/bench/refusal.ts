import { request } from "undici";
import { STATE } from "./ledger.ts";
import { userOf } from "./load.ts";
import { monoMs } from "./mono.ts";
import { eventName, uidName, userName } from "./names.ts";
import { PayloadWriter } from "./payload.ts";
import type { Rig } from "./rig.ts";

/** What one more event gets for an answer. */
export interface Answer {
  readonly status: number;
  /** Of a refusal. */
  readonly code: string;
  readonly hasRetryAfter: boolean;
}

const ANSWER_MAX_MS = 60_000;

/** Publishes one event, in the ledger like any other. */
export async function askOnce(rig: Rig, webhook: number): Promise<Answer> {
  const { daemon, ledger } = rig;
  const seq = rig.reserve(1);
  const payload = Buffer.alloc(rig.settings.payloadBytes);
  new PayloadWriter(payload.length).write(payload, 0, seq, webhook);
  ledger.offered(seq, monoMs());
  const user = userName(userOf(webhook, rig.settings.owners));
  const { statusCode, headers, body } = await request(
    `http://${daemon.host}:${daemon.port}/v1/publish/${eventName(webhook)}?user_id=${user}`,
    {
      method: "POST",
      headers: {
        authorization: `Bearer ${daemon.key}`,
        "content-type": "application/json",
        "idempotency-key": uidName(seq),
      },
      body: payload,
      headersTimeout: ANSWER_MAX_MS,
      bodyTimeout: ANSWER_MAX_MS,
    },
  );
  const text = await body.text();
  ledger.answered(seq, statusCode === 202 ? STATE.acknowledged : STATE.refused);
  return {
    status: statusCode,
    code: /"code":"([a-z_]+)"/.exec(text)?.[1] ?? "none",
    hasRetryAfter: headers["retry-after"] !== undefined,
  };
}
