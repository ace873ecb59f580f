import { spawn } from "node:child_process";
import { once } from "node:events";
import { measure } from "../measure.ts";
import type { RunFigures } from "../result.ts";
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
      const more: number[] = [];
      for (let pair = 1; pair <= PAIRS; pair += 1) {
        const tailed = () => withTail(stage, rig, () => run(`pair ${pair}, with tail`));
        const alone = () => run(`pair ${pair}, alone`);
        // Whichever is first may have the better moment: they take turns.
        let without: RunFigures;
        let withIt: RunFigures;
        if (pair % 2 === 0) [without, withIt] = [await alone(), await tailed()];
        else [withIt, without] = [await tailed(), await alone()];
        more.push((cpuOf(withIt) / cpuOf(without) - 1) * 100);
        if (pair < PAIRS) continue;
        // The ledger is of all of them.
        stage.runs.push(without, withIt);
        stage.clean(withIt);
      }
      const sorted = more.toSorted((a, b) => a - b);
      stage.notes.push(
        `CPU an event more with tail, by pair: ${more.map((one) => `${one.toFixed(1)} %`).join(", ")}`,
      );
      stage.notes.push(`from ${at(sorted, 0).toFixed(1)} % to ${at(sorted, PAIRS - 1).toFixed(1)} %`);
      stage.atMost(
        `CPU an event with tail, median of ${PAIRS} pairs: more by`,
        at(sorted, (PAIRS - 1) / 2),
        5,
        "%",
      );
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

function cpuOf({ cpu }: RunFigures): number {
  return cpu.microsPerEvent;
}

function at(sorted: readonly number[], index: number): number {
  return sorted[index] ?? Number.NaN;
}
