import { request } from "undici";
import type { DaemonProcess } from "./daemon-process.ts";
import { monoMs } from "./mono.ts";
import { directoryBytes, type ProcessCpu, processMemory } from "./proc.ts";

const EVERY_MS = 1_000;
const SCRAPE_MAX_MS = 5_000;

/** The daemon as seen from outside, once a second. */
export interface DaemonSample {
  readonly atMono: number;
  readonly cpu: ProcessCpu;
  readonly rssBytes: number;
  readonly diskBytes: number;
  /** Open deliveries; null: `/metrics` did not answer. */
  readonly backlog: number | null;
}

export type Metrics = ReadonlyMap<string, number>;

export class Sampler {
  readonly samples: DaemonSample[] = [];
  readonly #daemon: DaemonProcess;
  readonly #dataDir: string;
  readonly #timer: NodeJS.Timeout;
  #peakBytes = 0;
  #isBusy = false;

  constructor(daemon: DaemonProcess, dataDir: string, onSample: (sample: DaemonSample) => void) {
    this.#daemon = daemon;
    this.#dataDir = dataDir;
    this.#timer = setInterval(() => {
      if (this.#isBusy) return;
      this.#isBusy = true;
      void this.sample()
        .then(onSample)
        .finally(() => {
          this.#isBusy = false;
        });
    }, EVERY_MS);
  }

  /** The most memory that the daemon has had; restarts begin anew, and the most of all counts. */
  get peakBytes(): number {
    this.#peakBytes = Math.max(this.#peakBytes, processMemory(this.#daemon.pid)?.peakBytes ?? 0);
    return this.#peakBytes;
  }

  async sample(): Promise<DaemonSample> {
    const metrics = await scrape(this.#daemon);
    const memory = processMemory(this.#daemon.pid);
    this.#peakBytes = Math.max(this.#peakBytes, memory?.peakBytes ?? 0);
    const sample = {
      atMono: monoMs(),
      cpu: this.#daemon.cpu,
      rssBytes: memory?.rssBytes ?? 0,
      diskBytes: directoryBytes(this.#dataDir),
      backlog: metrics?.get("hookd_queue_depth") ?? null,
    };
    this.samples.push(sample);
    return sample;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

/** Metrics by name; those with labels by their whole text. Null: the daemon did not answer. */
export async function scrape({ isRunning, host, port, key }: DaemonProcess): Promise<Metrics | null> {
  if (!isRunning || port === 0) return null;
  try {
    const { body } = await request(`http://${host}:${port}/metrics`, {
      headers: { authorization: `Bearer ${key}` },
      headersTimeout: SCRAPE_MAX_MS,
      bodyTimeout: SCRAPE_MAX_MS,
    });
    return parseMetrics(await body.text());
  } catch {
    return null;
  }
}

export function parseMetrics(text: string): Metrics {
  const metrics = new Map<string, number>();
  for (const line of text.split("\n")) {
    const at = line.lastIndexOf(" ");
    if (at > 0 && !line.startsWith("#")) metrics.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return metrics;
}
