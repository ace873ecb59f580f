import { build, type Histogram } from "hdr-histogram-js";

/** Latency in ms, with three significant digits. */
export interface Latency {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

const NO_LATENCY: Latency = { count: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 };

const MICROS_MAX_INITIAL = 60_000_000;
const DIGITS = 3;

/** Records microseconds. */
export function createHistogram(): Histogram {
  return build({
    bitBucketSize: 32,
    autoResize: true,
    lowestDiscernibleValue: 1,
    highestTrackableValue: MICROS_MAX_INITIAL,
    numberOfSignificantValueDigits: DIGITS,
  });
}

export function latencyOf(histogram: Histogram): Latency {
  if (histogram.totalCount === 0) return NO_LATENCY;
  const ms = (percentile: number) => histogram.getValueAtPercentile(percentile) / 1_000;
  return {
    count: histogram.totalCount,
    p50: ms(50),
    p90: ms(90),
    p99: ms(99),
    p999: ms(99.9),
    max: histogram.maxValue / 1_000,
  };
}
