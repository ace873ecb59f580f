import { measure } from "../measure.ts";
import { medianOf, millisOf, playPairs, ratiosOf } from "../pairs.ts";
import type { ReadersData, ReadersTold } from "../readers-thread.ts";
import type { RunFigures } from "../result.ts";
import type { Rig } from "../rig.ts";
import type { Scenario } from "../stage.ts";
import { Thread } from "../thread.ts";

const RATE = 12_000;
const LISTS = 40;
const STREAMS = 10;
const PAIRS = 7;
/** Before each window; and before the first, for the compiler. */
const WARM_UP_MS = 2_000;
const FIRST_WARM_UP_MS = 10_000;

/** Fifty clients that read lists and the stream must not slow those that publish. */
export const readers: Scenario = {
  name: "readers",
  takes: ["rate"],
  origins: 1,
  async play(stage) {
    const plan = stage.plan({
      webhooks: 1_000,
      origins: 1,
      ratePerSecond: stage.options.rateGiven ?? RATE,
      durationMs: stage.ms(8_000),
      warmUpMs: WARM_UP_MS,
    });
    await stage.withRig(plan, {}, async (rig) => {
      const run = (title: string, warmUpMs = WARM_UP_MS) =>
        measure(rig, { title, plan: { ...plan, warmUpMs }, drainMaxMs: stage.options.drainMaxMs });
      await run("warm-up", FIRST_WARM_UP_MS);
      const told: ReadersTold[] = [];
      const pairs = await playPairs(PAIRS, {
        without: (title) => run(`${title} readers`),
        withIt: (title) => withReaders(rig, told, () => run(`${title} 50 readers`)),
      });
      stage.cleanPairs(pairs);
      const sumOf = (field: keyof ReadersTold) => told.reduce((sum, one) => sum + one[field], 0);
      const [pages, streamMb, failed] = [sumOf("pages"), sumOf("streamBytes") / 1e6, sumOf("failed")];
      stage.notes.push(`${pages} pages and ${streamMb.toFixed(0)} MB of the stream read, ${failed} failed`);
      // Readers that were not served slow nobody.
      const isServed = failed === 0 && told.every((one) => one.pages > 0 && one.streamsServed === STREAMS);
      stage.verdict("what readers asked for", `${failed} failed`, "0 failed, and each time some", isServed);
      const p99 = ({ window }: RunFigures) => window.accept.p99;
      stage.notes.push(`p99 accept, without and with readers, by pair: ${millisOf(pairs, p99)}`);
      const ratio = medianOf(ratiosOf(pairs, p99));
      stage.atMost(`p99 accept, to without, median of ${PAIRS} pairs`, ratio, 1.2, "x");
    });
  },
};

async function withReaders<T>(rig: Rig, told: ReadersTold[], body: () => Promise<T>): Promise<T> {
  const { host, port, key } = rig.daemon;
  const data: ReadersData = { origin: `http://${host}:${port}`, key, lists: LISTS, streams: STREAMS };
  const thread = new Thread<"tell", ReadersTold>("bench/readers-thread", "readers", data);
  try {
    const result = await Promise.race([body(), thread.failed]);
    const next = thread.next((message) => message);
    thread.send("tell");
    told.push(await next);
    return result;
  } finally {
    await thread.stop();
  }
}
