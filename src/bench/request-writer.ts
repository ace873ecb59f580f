import { writeDigits } from "./digits.ts";
import { hasOwnUid, type Load, targetOf, userOf } from "./load.ts";
import { eventName, UID_DIGITS, UID_PREFIX, USER_DIGITS, uidName, userName } from "./names.ts";
import { PayloadWriter, WEBHOOK_DIGITS } from "./payload.ts";

/** A ready-made piece of a request, and where its digits and its payload go. */
interface Template {
  readonly bytes: Buffer;
  readonly webhookAt: number;
  readonly userAt: number;
  /** -1: it has no uid. */
  readonly uidAt: number;
  readonly payloadAt: number;
}

/** Writes the requests of one connection. The answer must have come before the next is written over it. */
export interface RequestWriter {
  /** The request of the events from the load's `index` on. */
  write(index: number): Buffer;
}

export function createRequestWriter(load: Load): RequestWriter {
  return load.batch === 1 ? singleWriter(load) : batchWriter(load);
}

function singleWriter(load: Load): RequestWriter {
  const payloads = new PayloadWriter(load.payloadBytes);
  const templates = [true, false].map((isOwn) => singleTemplate(load, isOwn));
  return {
    write(index) {
      const template = templates[hasOwnUid(load.baseSeq + index) ? 0 : 1] as Template;
      fill(template.bytes, 0, template, load, index, payloads);
      return template.bytes;
    },
  };
}

function singleTemplate(load: Load, isOwn: boolean): Template {
  const uid = isOwn ? `idempotency-key: ${uidName(0)}\r\n` : "";
  const head =
    `POST /v1/publish/${eventName(0)}?user_id=${userName(0)} HTTP/1.1\r\n` +
    `host: ${load.host}:${load.port}\r\n` +
    `authorization: Bearer ${load.key}\r\ncontent-type: application/json\r\n${uid}` +
    `content-length: ${load.payloadBytes}\r\n\r\n`;
  return templateOf(head, "", load.payloadBytes);
}

/** Every item has the same length: where there is no uid there is white space. */
function batchWriter(load: Load): RequestWriter {
  const payloads = new PayloadWriter(load.payloadBytes);
  const items = [true, false].map((isOwn) => {
    const uid = `"event_uid":"${uidName(0)}",`;
    const names = `"event_id":"${eventName(0)}","user_id":"${userName(0)}",`;
    return templateOf(`{${isOwn ? uid : " ".repeat(uid.length)}${names}"payload":`, "},", load.payloadBytes);
  });
  const [own, other] = items as [Template, Template];
  const bodyBytes = 1 + load.batch * own.bytes.length;
  const head = Buffer.from(
    `POST /v1/events/batch HTTP/1.1\r\nhost: ${load.host}:${load.port}\r\n` +
      `authorization: Bearer ${load.key}\r\ncontent-type: application/json\r\n` +
      `content-length: ${bodyBytes}\r\n\r\n[`,
  );
  const request = Buffer.concat([head, Buffer.alloc(load.batch * own.bytes.length)]);
  return {
    write(index) {
      for (let item = 0; item < load.batch; item += 1) {
        const template = hasOwnUid(load.baseSeq + index + item) ? own : other;
        const at = head.length + item * own.bytes.length;
        template.bytes.copy(request, at);
        fill(request, at, template, load, index + item, payloads);
      }
      // Over the last item's comma.
      request[request.length - 1] = 0x5d;
      return request;
    },
  };
}

function templateOf(head: string, tail: string, payloadBytes: number): Template {
  const behind = (text: string, prefix: string) => text.indexOf(prefix) + prefix.length;
  const webhookAt = behind(head, eventName(0).slice(0, -WEBHOOK_DIGITS));
  const userName0 = userName(0);
  const uidName0 = uidName(0);
  return {
    bytes: Buffer.concat([Buffer.from(head), Buffer.alloc(payloadBytes), Buffer.from(tail)]),
    webhookAt,
    userAt: head.indexOf(userName0) + userName0.length - USER_DIGITS,
    uidAt: head.includes(uidName0) ? head.indexOf(uidName0) + UID_PREFIX.length : -1,
    payloadAt: head.length,
  };
}

function fill(
  into: Buffer,
  at: number,
  template: Template,
  load: Load,
  index: number,
  payloads: PayloadWriter,
): void {
  const seq = load.baseSeq + index;
  const webhook = targetOf(load.target, index);
  writeDigits(into, at + template.webhookAt, WEBHOOK_DIGITS, webhook);
  writeDigits(into, at + template.userAt, USER_DIGITS, userOf(webhook, load.owners));
  if (template.uidAt >= 0) writeDigits(into, at + template.uidAt, UID_DIGITS, seq);
  payloads.write(into, at + template.payloadAt, seq, webhook);
}
