// npm run gates: the long runs, and those that assert times. Not part of CI: the machine must be quiet.
import { assertNode, run } from "./run.ts";

assertNode();
process.env.HOOKD_GATES = "1";
await run("gates", "vitest", [
  "run",
  "--testTimeout=1800000",
  "--hookTimeout=120000",
  ...process.argv.slice(2),
]);
