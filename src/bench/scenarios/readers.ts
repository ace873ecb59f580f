import { measure } from "../measure.ts";
import type { ReadersData, ReadersTold } from "../readers-thread.ts";
import type { Rig } from "../rig.ts";
import type { Scenario } from "../stage.ts";
import { Thread } from "../thread.ts";

const RATE = 12_000;
const LISTS = 40;
const STREAMS = 10;

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
      durationMs: stage.ms(20_000),
    });
    await stage.withRig(plan, {}, async (rig) => {
      const options = { plan, drainMaxMs: stage.options.drainMaxMs };
      const before = await measure(rig, { ...options, title: "no readers" });
      const { run, told } = await withReaders(rig, () => measure(rig, { ...options, title: "50 readers" }));
      const after = await measure(rig, { ...options, title: "no readers, again" });
      stage.runs.push(before, run, after);
      stage.clean(after);
      const streamMb = (told.streamBytes / 1e6).toFixed(0);
      stage.notes.push(`${told.pages} pages and ${streamMb} MB of the stream read, ${told.failed} failed`);
      stage.verdict("what readers asked for", `${told.failed} failed`, "0 failed", told.failed === 0);
      const without = (before.window.accept.p99 + after.window.accept.p99) / 2;
      stage.atMost("p99 accept, to without (before and after)", run.window.accept.p99 / without, 1.2, "x");
    });
  },
};

async function withReaders<T>(rig: Rig, body: () => Promise<T>): Promise<{ run: T; told: ReadersTold }> {
  const { host, port, key } = rig.daemon;
  const data: ReadersData = { origin: `http://${host}:${port}`, key, lists: LISTS, streams: STREAMS };
  const thread = new Thread<"tell", ReadersTold>("bench/readers-thread", "readers", data);
  try {
    const run = await Promise.race([body(), thread.failed]);
    const told = thread.next((message) => message);
    thread.send("tell");
    return { run, told: await told };
  } finally {
    await thread.stop();
  }
}
