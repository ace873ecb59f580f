import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";

const SCRIPT = new URL("../../scripts/sim.ts", import.meta.url).pathname;

test.each([
  ["--scenario outage --store sqlite", "--store cannot be given with --scenario"],
  [
    "--scenario outage --plant slot-leak --seeds 20 --hours 2 --trace",
    "--plant, --seeds, --hours, --trace cannot be given with --scenario",
  ],
  ["--webhooks 10", "--webhooks cannot be given with a run of seeds"],
  ["--plant slot-leak --minutes 10", "--minutes cannot be given with a run of seeds"],
  ["--list-plants --seed 3", "--seed cannot be given with --list-plants"],
  ["--seeds 0.5", "--seeds 0.5 is no whole number of 1 or more"],
  ["--seed 1e3", "--seed 1e3 is no whole number of 1 or more"],
  ["--scenario outage --webhooks 10.5", "--webhooks 10.5 is no whole number of 1 or more"],
  ["--scenario outage --minutes 2", "--minutes 2 is no whole number of 6 or more"],
  ["--down 3", "--down cannot be given with a run of seeds"],
  ["--scenario outage --down 1.5", "--down 1.5 is no whole number of 0 or more"],
  ["--scenario outage --minutes 6 --down 121", "--down 121 is more than 120 of 6 minutes"],
  ["--hours 0", "--hours 0 is no number above 0"],
  ["--store redis", "there is no store redis"],
  ["--plant expansion-skips --store sqlite", "leave out --store sqlite"],
  ["--scenario flood", "there is no scenario flood"],
])("npm run sim refuses %s", (given, message) => {
  const { status, stderr, stdout } = spawnSync(process.execPath, [SCRIPT, ...given.split(" ")], {
    encoding: "utf8",
  });
  expect(stderr).toContain(message);
  expect(stdout).toBe("");
  expect(status).toBe(2);
});
