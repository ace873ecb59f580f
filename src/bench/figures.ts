import { formatDuration } from "../lib/units.ts";
import type { BenchResult, Latency, RunFigures } from "./result.ts";

/** One line of what a run found, in words: for the terminal, the report and the documents alike. */
export interface Figure {
  readonly name: string;
  readonly text: string;
  readonly mood?: "good" | "bad" | "doubtful";
}

/** Generator threads that work more of their time than this may have been what limited the run. */
const BUSY_MAX = 0.9;
const STOLEN_SHOWN_MIN = 0.02;
const MiB = 2 ** 20;
const GiB = 2 ** 30;

export function machineText({ machine, hookd, node }: BenchResult): string {
  const { cpu, cores, memoryBytes, kernel, disk } = machine;
  return (
    `hookd ${hookd}, Node ${node}; ${cores} cores (${cpu}), ${(memoryBytes / GiB).toFixed(0)} GiB, ` +
    `Linux ${kernel}, ${disk.fileSystem} on ${disk.device}`
  );
}

export function figuresOf(run: RunFigures): Figure[] {
  const { window, ledger, cpu, memory, plan } = run;
  const refusals = Object.entries(window.refused).map(([status, count]) => `${count} with ${status}`);
  const isBad = ledger.lost + ledger.duplicated + ledger.unexpected + ledger.wrong > 0;
  return [
    { name: "load", text: planText(run) },
    { name: "offered", text: `${window.offered} in ${formatDuration(plan.durationMs)}` },
    { name: "accepted", text: `${rate(window.acceptedPerSecond)}, ${window.accepted} of them` },
    ...(refusals.length === 0 ? [] : [{ name: "refused", text: refusals.join(", ") }]),
    { name: "delivered", text: rate(window.deliveredPerSecond) },
    { name: "accept", text: latencyText(window.accept) },
    { name: "receive", text: latencyText(window.receive) },
    { name: "drained", text: run.isDrained ? `in ${run.drainSeconds.toFixed(1)} s` : "not in time" },
    {
      name: "ledger",
      text:
        `lost ${ledger.lost}, duplicated ${ledger.duplicated}, unexpected ${ledger.unexpected}, ` +
        `wrong ${ledger.wrong}, unknown ${ledger.unknown} (of ${ledger.offered}, the warm-up with them)`,
      mood: isBad ? "bad" : "good",
    },
    ...(ledger.kept === 0 ? [] : [{ name: "kept", text: `${ledger.kept} for receivers that fail` }]),
    {
      name: "CPU",
      text:
        `${cpu.microsPerEvent.toFixed(0)} us an event, ${cpu.coresUsed.toFixed(2)} cores: ` +
        threadsText(run),
    },
    ...stolenFigures(run),
    {
      name: "memory",
      text:
        `${(memory.peakBytes / MiB).toFixed(0)} MiB at most, ` +
        `${(memory.endBytes / MiB).toFixed(0)} MiB at the end`,
    },
    { name: "disk", text: `${run.diskBytesPerEvent.toFixed(0)} bytes an event` },
    ...stallFigures(run),
    ...calibrationFigures(run),
    ...generatorFigures(run),
  ];
}

function calibrationFigures({ calibration, ratios }: RunFigures): Figure[] {
  if (calibration === null || ratios === null) return [];
  const { mean, drift } = calibration;
  return [
    {
      name: "bare",
      text:
        `posts ${rate(mean.postsPerSecond)} at ${mean.postCpuMicros.toFixed(1)} us, ` +
        `accepts ${rate(mean.acceptsPerSecond)} at ${mean.acceptCpuMicros.toFixed(1)} us`,
    },
    {
      name: "fsync",
      text: `median ${mean.syncMedianMs.toFixed(2)} ms, p99 ${mean.syncP99Ms.toFixed(2)} ms`,
    },
    {
      name: "ratios",
      text:
        `delivered/s ${ratios.deliveredToBarePosts.toFixed(2)} of bare posts/s, ` +
        `CPU ${ratios.cpuToBare.toFixed(2)} x bare accept + bare post`,
    },
    { name: "drift", text: `${(drift * 100).toFixed(1)} % between before and after` },
  ];
}

function stolenFigures({ cpu }: RunFigures): Figure[] {
  if (cpu.stolenShare < STOLEN_SHOWN_MIN) return [];
  const text = `${(cpu.stolenShare * 100).toFixed(0)} % of all cores' time: the host gave it to others`;
  return [{ name: "stolen", text, mood: "doubtful" }];
}

/** Results that were saved before this was looked at do not have it. */
function stallFigures({ diskStalls }: RunFigures): Figure[] {
  if (!diskStalls || diskStalls.count === 0) return [];
  const { count: times, seconds, longestMs } = diskStalls;
  const text =
    `${count(times, "time")}, ${seconds.toFixed(2)} s in all, ${ms(longestMs)} ms at most: ` +
    "it had something to do and finished nothing";
  return [{ name: "disk stood still", text, mood: "doubtful" }];
}

function generatorFigures({ generator }: RunFigures): Figure[] {
  const busy = Object.entries(generator).filter(([, share]) => share > BUSY_MAX);
  if (busy.length === 0) return [];
  const text = busy.map(([name, share]) => `${name} ${(share * 100).toFixed(0)} %`).join(", ");
  return [{ name: "generator", text: `at its limit: ${text}`, mood: "doubtful" }];
}

function planText({ plan }: RunFigures): string {
  const load = plan.ratePerSecond === null ? "closed loop" : `${plan.ratePerSecond} events/s`;
  const parts = [
    `${load} for ${formatDuration(plan.durationMs)}`,
    `${count(plan.webhooks, "webhook")} on ${count(plan.origins, "origin")} of ${count(plan.users, "user")}`,
    `${plan.payloadBytes} bytes`,
    count(plan.connections, "connection"),
    ...(plan.batch === 1 ? [] : [`batches of ${plan.batch}`]),
    ...(plan.latencyMs === 0 ? [] : [`receivers take ${plan.latencyMs} ms`]),
    ...(plan.failingShare === 0 ? [] : [`${plan.failingShare * 100} % fail`]),
    ...(plan.hangingShare === 0 ? [] : [`${plan.hangingShare * 100} % hang`]),
  ];
  return parts.join(", ");
}

function threadsText({ cpu }: RunFigures): string {
  return Object.entries(cpu.microsByThread)
    .filter(([, micros]) => micros >= 1)
    .map(([name, micros]) => `${name} ${micros.toFixed(0)}`)
    .join(", ");
}

function latencyText({ count: events, p50, p90, p99, p999, max }: Latency): string {
  if (events === 0) return "none";
  return `p50 ${ms(p50)}, p90 ${ms(p90)}, p99 ${ms(p99)}, p99.9 ${ms(p999)}, max ${ms(max)} ms`;
}

export function ms(value: number): string {
  return value < 10 ? value.toFixed(2) : value.toFixed(0);
}

export function rate(perSecond: number): string {
  return `${Math.round(perSecond)}/s`;
}

function count(number: number, one: string): string {
  return `${number} ${one}${number === 1 ? "" : "s"}`;
}
