import { once } from "node:events";
import { MessageChannel } from "node:worker_threads";
import { expect, test } from "vitest";
import { RemoteSender } from "../../src/threads/remote-sender.ts";

async function died() {
  const { port1, port2 } = new MessageChannel();
  const sender = new RemoteSender(port1);
  const closed = once(port1, "close");
  port2.close();
  await closed;
  return sender;
}

test("a stop does not wait for a sender whose thread died before it", async () => {
  const sender = await died();
  await sender.stop();
});

test("a sender whose thread dies while it is stopped has stopped", async () => {
  const { port1, port2 } = new MessageChannel();
  const stopped = new RemoteSender(port1).stop();
  port2.close();
  await stopped;
});

test("a stop waits for the thread that took the place of one that died", async () => {
  const sender = await died();
  const { port1, port2 } = new MessageChannel();
  sender.replace(port1);
  let isStopped = false;
  const stopped = sender.stop().then(() => {
    isStopped = true;
  });
  const [asked] = await once(port2, "message");
  expect([asked.kind, isStopped]).toEqual(["stop", false]);
  port2.postMessage({ kind: "stopped" });
  await stopped;
  port2.close();
});
