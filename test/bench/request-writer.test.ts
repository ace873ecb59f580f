import { describe, expect, it } from "vitest";
import { MessageReader } from "../../src/bench/message-reader.ts";
import { PayloadWriter, seqOf, webhookOf } from "../../src/bench/payload.ts";
import { createRequestWriter } from "../../src/bench/request-writer.ts";
import { loadOf } from "./world.ts";

function parse(bytes: Buffer): { head: string; body: Buffer } {
  const messages: { head: string; body: Buffer }[] = [];
  new MessageReader().push(bytes, (data, start, body, end) => {
    messages.push({
      head: data.toString("latin1", start, body),
      body: Buffer.from(data.subarray(body, end)),
    });
  });
  const [only] = messages;
  if (messages.length !== 1 || only === undefined) throw new Error(`${messages.length} messages`);
  return only;
}

describe("a request writer", () => {
  it("writes a publish with the event's webhook, user, uid and payload", () => {
    const load = loadOf({ baseSeq: 100 });
    const writer = createRequestWriter(load);
    const { head, body } = parse(writer.write(4));
    expect(head).toMatch(/^POST \/v1\/publish\/bench\.e0000004\?user_id=u0000001 HTTP\/1\.1\r\n/);
    expect(head).toContain("authorization: Bearer hk_test\r\n");
    expect(head).toContain("idempotency-key: bench-000000000104\r\n");
    expect(JSON.parse(body.toString())).toMatchObject({ seq: "000000000104", to: "0000004" });
    expect(body).toHaveLength(128);
    expect([seqOf(body, 0), webhookOf(body, 0)]).toEqual([104, 4]);
    expect(new PayloadWriter(128).matches(body, 104, 4)).toBe(true);
  });

  it("leaves the uid of every second event to hookd", () => {
    expect(parse(createRequestWriter(loadOf()).write(1)).head).not.toContain("idempotency-key");
  });

  it("writes batches of the same events, as valid JSON", () => {
    const load = loadOf({ batch: 4 });
    const { head, body } = parse(createRequestWriter(load).write(4));
    expect(head).toMatch(/^POST \/v1\/events\/batch /);
    const items = JSON.parse(body.toString()) as { event_uid?: string }[];
    expect(items).toMatchObject(
      [4, 5, 6, 7].map((seq) => ({
        event_id: `bench.e000000${seq}`,
        user_id: `u000000${seq % 3}`,
        payload: { seq: `00000000000${seq}`, to: `000000${seq}` },
      })),
    );
    expect(items.map((item) => item.event_uid)).toEqual([
      "bench-000000000004",
      undefined,
      "bench-000000000006",
      undefined,
    ]);
  });

  it("gives different events different bytes, and finds a byte that changed", () => {
    const payloads = new PayloadWriter(64);
    const [one, two] = [Buffer.alloc(64), Buffer.alloc(64)];
    payloads.write(one, 0, 1, 1);
    payloads.write(two, 0, 2, 1);
    expect(one.subarray(42).equals(two.subarray(42))).toBe(false);
    one[50] = (one[50] ?? 0) ^ 1;
    expect(payloads.matches(one, 1, 1)).toBe(false);
  });
});
