import type { BenchResult, LedgerFigures, RunFigures } from "../../src/bench/result.ts";

const latency = { count: 100, p50: 1.5, p90: 3, p99: 12, p999: 20, max: 31 };

export function ledgerFigures(changes: Partial<LedgerFigures> = {}): LedgerFigures {
  return {
    offered: 100,
    accepted: 100,
    refused: 0,
    unknown: 0,
    delivered: 100,
    recovered: 0,
    kept: 0,
    lost: 0,
    duplicated: 0,
    unexpected: 0,
    wrong: 0,
    crashes: 0,
    turnedAway: 0,
    ...changes,
  };
}

export function runFigures(changes: Partial<RunFigures> = {}): RunFigures {
  const calibration = {
    postsPerSecond: 40_000,
    postCpuMicros: 25,
    acceptsPerSecond: 50_000,
    acceptCpuMicros: 20,
    syncMedianMs: 0.4,
    syncP99Ms: 2,
  };
  return {
    title: "run",
    plan: {
      ratePerSecond: 100,
      durationMs: 1_000,
      warmUpMs: 0,
      webhooks: 10,
      origins: 1,
      users: 1,
      payloadBytes: 1_024,
      batch: 1,
      connections: 4,
      latencyMs: 0,
      failingShare: 0,
      hangingShare: 0,
    },
    window: {
      seconds: 1,
      offered: 100,
      accepted: 100,
      refused: {},
      acceptedPerSecond: 100,
      deliveredPerSecond: 99,
      accept: latency,
      refuse: {},
      receive: latency,
    },
    ledger: ledgerFigures(),
    drainSeconds: 0.1,
    isDrained: true,
    cpu: {
      microsPerEvent: 90,
      microsByThread: { director: 40, MainThread: 50 },
      coresUsed: 0.5,
      stolenShare: 0,
    },
    memory: { peakBytes: 200 * 2 ** 20, endBytes: 150 * 2 ** 20 },
    diskBytesPerEvent: 1_200,
    diskStalls: { count: 0, seconds: 0, longestMs: 0 },
    generator: { "publisher-0": 0.2 },
    calibration: { before: calibration, after: calibration, mean: calibration, drift: 0 },
    ratios: { deliveredToBarePosts: 0.6, cpuToBare: 2 },
    series: [0, 1].map((second) => ({
      second,
      offered: 100,
      accepted: 100,
      refused: 0,
      delivered: 99,
      acceptP50Ms: 1,
      acceptP99Ms: 12,
      receiveP50Ms: 0,
      receiveP99Ms: 13,
      backlog: second === 0 ? null : 4,
      cpuCores: 0.5,
      rssBytes: 150 * 2 ** 20,
      diskBytes: 120_000,
    })),
    ...changes,
  };
}

export function benchResult(changes: Partial<BenchResult> = {}): BenchResult {
  return {
    name: "steady",
    startedAt: "2026-01-01T00:00:00.000Z",
    hookd: "0.1.0",
    node: "v24.0.0",
    machine: {
      cpu: "A CPU",
      cores: 4,
      memoryBytes: 16 * 2 ** 30,
      kernel: "6.1",
      disk: { device: "/dev/a", fileSystem: "ext4", freeBytes: 1e9 },
    },
    scale: 1,
    isOwnLoad: false,
    isPartial: false,
    isVoid: false,
    runs: [runFigures()],
    verdicts: [],
    notes: [],
    ...changes,
  };
}
