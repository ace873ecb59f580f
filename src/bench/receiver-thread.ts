/** A receivers' thread. Two of them listen on the same port: the system spreads connections over them. */
import { parentPort, workerData } from "node:worker_threads";
import { Ledger } from "./ledger.ts";
import { Receiver } from "./receiver.ts";
import { SampleBuffer } from "./samples.ts";
import { Site } from "./site.ts";
import type { FromReceiver, ReceiverData, ToReceiver } from "./thread-messages.ts";

const SAMPLES_EVERY_MS = 200;

const data = workerData as ReceiverData;
const samples = new SampleBuffer((full) => send({ kind: "samples", samples: full }, [full.words.buffer]));
const receiver = new Receiver(new Ledger(data.ledger), new Site(data.site), samples, data.payloadBytes);

parentPort?.on("message", (message: ToReceiver) => {
  switch (message.kind) {
    case "flush": {
      samples.flush();
      const { active, idle } = performance.eventLoopUtilization();
      send({ kind: "flushed", token: message.token, activeMs: active, idleMs: idle });
      return;
    }
    case "fanOut":
      receiver.fanOutSeq = message.seq;
      return;
    default:
      message satisfies never;
  }
});
setInterval(() => samples.flush(), SAMPLES_EVERY_MS);
receiver.listen(data.port, (port) => send({ kind: "listening", port }));

function send(message: FromReceiver, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer);
}
