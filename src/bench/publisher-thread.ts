/** A publisher's thread: publishes its share of every load that it is told of, several at once. */
import { parentPort, workerData } from "node:worker_threads";
import { Ledger } from "./ledger.ts";
import type { Load } from "./load.ts";
import { Publisher } from "./publisher.ts";
import { SampleBuffer } from "./samples.ts";
import { Site } from "./site.ts";
import type { FromPublisher, PublisherData, ToPublisher } from "./thread-messages.ts";

const PUMP_EVERY_MS = 1;
const CHECK_EVERY_MS = 1_000;
const SAMPLES_EVERY_MS = 200;

const data = workerData as PublisherData;
const ledger = new Ledger(data.ledger);
const site = new Site(data.site);
const samples = new SampleBuffer((full) => send({ kind: "samples", samples: full }, [full.words.buffer]));
const publishers = new Map<number, Publisher>();
let pumping: NodeJS.Timeout | null = null;

parentPort?.on("message", (message: ToPublisher) => {
  switch (message.kind) {
    case "load":
      begin(message.load);
      return;
    case "stop":
      publishers.get(message.id)?.stop();
      return;
    case "flush": {
      samples.flush();
      const { active, idle } = performance.eventLoopUtilization();
      send({ kind: "flushed", token: message.token, activeMs: active, idleMs: idle });
      return;
    }
    default:
      message satisfies never;
  }
});
setInterval(() => samples.flush(), SAMPLES_EVERY_MS);
setInterval(() => {
  for (const publisher of publishers.values()) publisher.check();
}, CHECK_EVERY_MS);

function begin(load: Load): void {
  const share = { thread: data.index, threads: data.threads };
  const publisher = new Publisher(load, share, ledger, site, samples, ({ sent, answered }) => {
    publishers.delete(load.id);
    if (publishers.size === 0 && pumping !== null) {
      clearInterval(pumping);
      pumping = null;
    }
    samples.flush();
    send({ kind: "done", id: load.id, sent, answered });
  });
  publishers.set(load.id, publisher);
  pumping ??= setInterval(() => {
    for (const one of publishers.values()) one.pump();
  }, PUMP_EVERY_MS);
}

function send(message: FromPublisher, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer);
}
