import { expect, test } from "vitest";
import { Rig } from "../../src/bench/rig.ts";

test("whoever waits for a load hears of it when the run is ended, so that a failed scenario does not hang", async () => {
  const rig = await Rig.open({
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
  });
  const target = { first: 0, count: 1, isScattered: false };
  const { done } = rig.startLoad({ ratePerSecond: 1, durationMs: 600_000, target });
  const heard = expect(done).rejects.toThrow("the run was ended");
  await rig.close();
  await heard;
});
