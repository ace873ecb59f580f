import { setTimeout as sleep } from "node:timers/promises";
import type { DeliveryBody, JobBody } from "../http-api.ts";
import { formatAgo, formatMs, plural } from "../lib/format.ts";
import { type Client, segment } from "./client.ts";
import { createProgress } from "./progress.ts";
import { statusColour } from "./status-colour.ts";
import type { Terminal } from "./terminal.ts";

/** From the first look on, each wait is half as long again: quick for what is quick, cheap for what is not. */
const FIRST_LOOK_MS = 20;
const LOOK_EVERY_MS_MAX = 500;
const GROWTH = 1.5;

const BLOCKED =
  "hookd may not connect there: see net.allow and net.allow_http; with serve --dev it may to this machine.";

interface Following {
  readonly client: Client;
  readonly terminal: Terminal;
}

/**
 * Watches deliveries until each has ended, and prints how: `delivered, 200, attempt 1, 4 ms`. True when all were
 * delivered; false for one that died, or that is still open after `timeoutMs`.
 */
export async function followDeliveries(
  { client, terminal }: Following,
  ids: readonly string[],
  timeoutMs: number,
): Promise<boolean> {
  const progress = createProgress(terminal);
  const endsAtMono = performance.now() + timeoutMs;
  let waitMs = FIRST_LOOK_MS;
  let open = ids;
  let isAllDelivered = true;
  while (true) {
    const still: DeliveryBody[] = [];
    for (const id of open) {
      const answer = await client.call<DeliveryBody>({ method: "GET", path: `/deliveries/${segment(id)}` });
      const { status } = answer.body;
      if (status === "pending" || status === "retrying") {
        still.push(answer.body);
        continue;
      }
      progress.end();
      isAllDelivered &&= status === "success";
      if (client.isJson) terminal.json(answer.text);
      else terminal.line(withId(ids, answer.body, outcomeOf(answer.body)), statusColour(status));
      if (answer.body.reason === "blocked") terminal.note(BLOCKED, "yellow");
    }
    open = still.map(({ id }) => id);
    if (open.length === 0) return isAllDelivered;
    const leftMs = endsAtMono - performance.now();
    if (leftMs <= 0) break;
    progress.update(progressOf(still, ids.length));
    await sleep(Math.min(waitMs, leftMs));
    waitMs = Math.min(waitMs * GROWTH, LOOK_EVERY_MS_MAX);
  }
  progress.end();
  const which = open.length === 1 ? open[0] : plural(open.length, "delivery", "deliveries");
  terminal.note(`${which} not delivered within ${formatMs(timeoutMs)}; hookd goes on trying.`, "yellow");
  terminal.note(`See: hookd deliveries get ${open[0]}`);
  return false;
}

/** How a delivery stands, in a line: what happened, the answer, which attempt, how long it took. */
export function outcomeOf(delivery: DeliveryBody): string {
  const last = delivery.attempts?.at(-1);
  // An address that is not allowed is the reason and the error: once is enough.
  const error = delivery.error === delivery.reason ? null : delivery.error;
  const answer = delivery.response_code ?? error;
  const durationMs = last?.duration_ms ?? delivery.duration_ms;
  const took = durationMs === null ? [] : [formatMs(durationMs)];
  const attempts = plural(delivery.attempt_count, "attempt");
  if (delivery.status === "success") {
    return ["delivered", answer, `attempt ${delivery.attempt_count}`, ...took].join(", ");
  }
  if (delivery.status === "dead") {
    return [`dead, ${delivery.reason} after ${attempts}`, ...(answer === null ? [] : [answer]), ...took].join(
      ", ",
    );
  }
  return [delivery.status, ...(answer === null ? [] : [answer]), attempts].join(", ");
}

/** Watches a job until it has ended. True when it is done, false when it was cancelled. */
export async function followJob({ client, terminal }: Following, id: string): Promise<boolean> {
  const progress = createProgress(terminal);
  let waitMs = FIRST_LOOK_MS;
  while (true) {
    const answer = await client.call<JobBody>({ method: "GET", path: `/jobs/${segment(id)}` });
    const job = answer.body;
    if (job.status !== "running") {
      progress.end();
      if (client.isJson) terminal.json(answer.text);
      else terminal.line(`${job.id} ${job.status}, ${doneOf(job)}`, statusColour(job.status));
      return job.status === "done";
    }
    progress.update(`${job.kind} ${job.id}: ${doneOf(job)}`);
    await sleep(waitMs);
    waitMs = Math.min(waitMs * GROWTH, LOOK_EVERY_MS_MAX);
  }
}

/** `3,000 of 10,000`, or what is done where nobody knows how many there will be. */
export function doneOf(job: JobBody): string {
  const done = job.done.toLocaleString("en-US");
  return job.total === null ? `${done} done` : `${done} of ${job.total.toLocaleString("en-US")}`;
}

function withId(ids: readonly string[], delivery: DeliveryBody, text: string): string {
  return ids.length === 1 ? text : `${delivery.id} ${text}`;
}

function progressOf(open: readonly DeliveryBody[], total: number): string {
  const next = open
    .map(({ next_retry_at }) => next_retry_at)
    .filter((at) => at !== null)
    .sort()[0];
  const failed = open.find(({ status }) => status === "retrying");
  const last = failed === undefined ? "" : `; last answer ${failed.response_code ?? failed.error ?? "none"}`;
  const due =
    next === undefined || failed === undefined ? "" : `, next attempt ${formatAgo(next, Date.now())}`;
  return `waiting: ${total - open.length} of ${total} ended${last}${due}`;
}
