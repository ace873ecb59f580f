import { expect, test } from "vitest";
import type { WebhookId } from "../../src/domain/ids.ts";
import { Problem } from "../../src/domain/problem.ts";
import { Counters } from "../../src/engine/counters.ts";
import { type Notice, OperationalOutbox } from "../../src/engine/operational-outbox.ts";
import type { PublishRequest } from "../../src/engine/port.ts";

test("what one webhook refuses for now does not keep from another what is for that, and goes again", async () => {
  const stored: string[] = [];
  let isFull = true;
  const publish = async (requests: readonly PublishRequest[]) =>
    requests.map(({ eventId, uid, targets }, index) => {
      if (isFull && eventId === "hookd.webhook.disabled") return new Problem("lane_full", "planted");
      stored.push(eventId);
      return {
        eventUid: uid ?? `evt_${index}`,
        isDuplicate: false,
        deliveryCount: 1,
        deliveries: targets.map((webhookId) => ({ id: index, webhookId })),
      } as never;
    });
  const outbox = new OperationalOutbox({
    counters: new Counters(),
    publish,
    targetOf: () => 1 as WebhookId,
  });
  const notice = (eventId: Notice["eventId"], index: number) =>
    ({ eventId, uid: `u_${index}`, at: 1_700_000_000_000, data: {} }) as unknown as Notice;
  for (let index = 0; index < 150; index += 1) outbox.add(notice("hookd.webhook.disabled", index));
  outbox.add(notice("hookd.disk.low", 150));
  await outbox.flush();
  expect(stored).toEqual(["hookd.disk.low"]);
  isFull = false;
  await outbox.flush();
  expect(stored).toHaveLength(151);
  await outbox.flush();
  expect(stored).toHaveLength(151);
});
