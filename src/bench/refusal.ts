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

/** What one more batch gets. */
export interface BatchAnswer {
  readonly refused: number;
  readonly hasRetryAfter: boolean;
}

const ANSWER_MAX_MS = 60_000;

/** Publishes one event, in the ledger like any other. */
export async function askOnce(rig: Rig, webhook: number): Promise<Answer> {
  const { seqs, payloads, user } = offer(rig, webhook, 1);
  const { status, text, hasRetryAfter } = await post(
    rig,
    `/v1/publish/${eventName(webhook)}?user_id=${user}`,
    payloads[0] ?? "",
    {
      "idempotency-key": uidName(seqs[0] ?? 0),
    },
  );
  settle(rig, seqs[0] ?? 0, status === 202);
  return { status, code: /"code":"([a-z_]+)"/.exec(text)?.[1] ?? "none", hasRetryAfter };
}

/** Publishes a batch, in the ledger like any other. */
export async function askBatch(rig: Rig, webhook: number, size: number): Promise<BatchAnswer> {
  const { seqs, payloads, user } = offer(rig, webhook, size);
  const items = seqs.map((seq, index) => {
    const names = `"event_uid":"${uidName(seq)}","event_id":"${eventName(webhook)}","user_id":"${user}"`;
    return `{${names},"payload":${payloads[index]}}`;
  });
  const { status, text, hasRetryAfter } = await post(rig, "/v1/events/batch", `[${items.join(",")}]`, {});
  const results = status === 202 ? (JSON.parse(text) as { results: { accepted?: unknown }[] }).results : [];
  seqs.forEach((seq, index) => {
    settle(rig, seq, results[index]?.accepted !== undefined);
  });
  const accepted = results.filter((one) => one.accepted !== undefined).length;
  return { refused: size - accepted, hasRetryAfter };
}

function offer(rig: Rig, webhook: number, count: number) {
  const { ledger, settings } = rig;
  const first = rig.reserve(count);
  const seqs = Array.from({ length: count }, (_, index) => first + index);
  const payloads = seqs.map((seq) => {
    const payload = Buffer.alloc(settings.payloadBytes);
    new PayloadWriter(payload.length).write(payload, 0, seq, webhook);
    ledger.offered(seq, monoMs());
    return payload.toString("latin1");
  });
  return { seqs, payloads, user: userName(userOf(webhook, settings.owners)) };
}

function settle({ ledger }: Rig, seq: number, isAccepted: boolean): void {
  ledger.answered(seq, isAccepted ? STATE.acknowledged : STATE.refused);
}

async function post({ daemon }: Rig, path: string, body: string, more: Readonly<Record<string, string>>) {
  const {
    statusCode,
    headers,
    body: answer,
  } = await request(`http://${daemon.host}:${daemon.port}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${daemon.key}`, "content-type": "application/json", ...more },
    body,
    headersTimeout: ANSWER_MAX_MS,
    bodyTimeout: ANSWER_MAX_MS,
  });
  return {
    status: statusCode,
    text: await answer.text(),
    hasRetryAfter: headers["retry-after"] !== undefined,
  };
}
