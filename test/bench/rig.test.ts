import { expect, test } from "vitest";
import { processCpu } from "../../src/bench/proc.ts";
import { Rig, type RigSettings } from "../../src/bench/rig.ts";

const SETTINGS: RigSettings = {
  program: { file: "/bin/false", args: [], env: {} },
  dataDir: null,
  payloadBytes: 128,
  webhooks: 1,
  origins: 1,
  owners: { users: 1, webhooksEach: 1 },
  eventOf: () => null,
  eventsMax: 1_000,
  publisherThreads: 1,
  config: {},
  env: {},
  signal: new AbortController().signal,
  onProgress: () => {},
};

test("whoever waits for a load hears of it when the run is ended, so that a failed scenario does not hang", async () => {
  const rig = await Rig.open(SETTINGS);
  const target = { first: 0, count: 1, isScattered: false };
  const { done } = rig.startLoad({ ratePerSecond: 1, durationMs: 600_000, target });
  const heard = expect(done).rejects.toThrow("the run was ended");
  await rig.close();
  await heard;
});

test("a rig that cannot be built ends the threads that it began", async () => {
  const threads = () =>
    Object.keys(processCpu(process.pid)?.threads ?? {}).filter((name) => /^(publisher|receiver)/.test(name));
  const config = {
    get key(): never {
      throw new Error("no such configuration");
    },
  };
  await expect(Rig.open({ ...SETTINGS, config })).rejects.toThrow("no such configuration");
  expect(threads()).toEqual([]);
});
