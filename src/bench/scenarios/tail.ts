import { spawn } from "node:child_process";
import { once } from "node:events";
import { measure } from "../measure.ts";
import { medianOf, playPairs, ratiosOf } from "../pairs.ts";
import type { Rig } from "../rig.ts";
import type { Scenario, Stage } from "../stage.ts";

const RATE = 12_000;
const PAIRS = 9;
/** Before each window; it is long enough for the tail to begin, and before the first for the compiler. */
const WARM_UP_MS = 2_000;
const FIRST_WARM_UP_MS = 10_000;

/** What somebody who looks costs: CPU an event with and without `hookd deliveries tail`, in turn on one daemon. */
export const tail: Scenario = {
  name: "tail",
  takes: ["rate"],
  origins: 1,
  async play(stage) {
    const plan = stage.plan({
      webhooks: 1_000,
      origins: 1,
      ratePerSecond: stage.options.rateGiven ?? RATE,
      durationMs: stage.ms(6_000),
      warmUpMs: WARM_UP_MS,
    });
    await stage.withRig(plan, {}, async (rig) => {
      const run = (title: string, warmUpMs = WARM_UP_MS) =>
        measure(rig, { title, plan: { ...plan, warmUpMs }, drainMaxMs: stage.options.drainMaxMs });
      await run("warm-up", FIRST_WARM_UP_MS);
      const pairs = await playPairs(PAIRS, {
        without: (title) => run(`${title} tail`),
        withIt: (title) => withTail(stage, rig, () => run(`${title} tail`)),
      });
      stage.cleanPairs(pairs);
      const more = ratiosOf(pairs, ({ cpu }) => cpu.microsPerEvent).map((ratio) => (ratio - 1) * 100);
      stage.notes.push(
        `CPU an event more with tail, by pair: ${more.map((one) => `${one.toFixed(1)} %`).join(", ")}`,
      );
      stage.atMost(`CPU an event with tail, median of ${PAIRS} pairs: more by`, medianOf(more), 5, "%");
    });
  },
};

/** The program itself, reading the stream as in a pipe, from its first bytes on. */
async function withTail<T>(stage: Stage, rig: Rig, body: () => Promise<T>): Promise<T> {
  const { program } = stage.options;
  const { host, port, key } = rig.daemon;
  const child = spawn(
    program.file,
    [...program.args, "deliveries", "tail", "--server", `http://${host}:${port}`],
    {
      env: { ...program.env, HOOKD_API_KEY: key },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const ended = once(child, "exit");
  try {
    let bytes = 0;
    child.stdout.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-500);
    });
    const result = await body();
    if (child.exitCode !== null) throw new Error(`hookd deliveries tail ended by itself: ${said}`);
    // One that watches nothing costs nothing.
    if (bytes === 0) throw new Error(`hookd deliveries tail printed no attempt: ${said}`);
    return result;
  } finally {
    child.kill("SIGTERM");
    await ended;
  }
}
