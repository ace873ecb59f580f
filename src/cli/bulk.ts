import type { Command } from "commander";
import type { DryRunBody } from "../http-api.ts";
import type { ClientCall } from "./command.ts";
import { confirm } from "./confirm.ts";
import { Failure } from "./failure.ts";
import { type FilterOptions, filterOf } from "./filters.ts";
import { followJob } from "./follow.ts";
import { listOption, wholeNumber } from "./options.ts";

/** Options of commands that change many deliveries, as a job. */
export interface BulkOptions {
  readonly id?: readonly string[];
  readonly all?: boolean;
  readonly rate?: number;
  readonly yes?: boolean;
  readonly wait?: boolean;
  readonly dryRun?: boolean;
}

interface Work {
  readonly path: string;
  readonly ids: readonly string[];
  readonly more: Readonly<Record<string, unknown>>;
  readonly verb: "Replay" | "Delete";
  /** Asks from so many on. */
  readonly asksFrom: number;
}

const RATE_MAX = 100_000;

export function addBulkOptions(command: Command): Command {
  return addPurgeOptions(command).option(
    "--rate <n>",
    "deliveries made due a second at most; default: no limit of its own",
    wholeNumber(1, RATE_MAX),
  );
}

export function addPurgeOptions(command: Command): Command {
  return command
    .option("--id <ids>", "these, separated by commas; several times", listOption)
    .option("--all", "all there are, without a filter")
    .option("--dry-run", "only count")
    .option("--yes", "do not ask")
    .option("--wait", "wait until the job is done");
}

type BulkCall = ClientCall<readonly unknown[], BulkOptions & FilterOptions>;

export function replayMany(
  call: BulkCall,
  path: string,
  ids: readonly string[],
  more: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  // One delivery is what somebody has just looked at; more than one is what a filter happened to match.
  return changeMany(call, { path, ids, more, verb: "Replay", asksFrom: 2 });
}

export function purgeMany(call: BulkCall, path: string): Promise<void> {
  return changeMany(call, { path, ids: [], more: {}, verb: "Delete", asksFrom: 1 });
}

/** Counts, asks, starts the job, and waits for it where --wait says so. */
async function changeMany(call: BulkCall, work: Work): Promise<void> {
  const { client, terminal, options } = call;
  const json = selectionOf(options, work);
  const count = client.isCurl && options.dryRun !== true ? null : await counted(call, work, json);
  if (options.dryRun === true) return;
  if (count !== null) {
    if (count.count === 0) {
      if (client.isJson) terminal.json(JSON.stringify(count));
      else terminal.note("Nothing matches; nothing was done.");
      return;
    }
    const isMany = count.count >= work.asksFrom;
    if (isMany) await confirm(terminal, options.yes === true, `${work.verb} ${many(count)}?`);
  }
  const answer = await client.call<{ job_id: string }>({
    method: "POST",
    path: work.path,
    json: { ...json, ...(options.rate === undefined ? {} : { rate: options.rate }) },
  });
  const { job_id } = answer.body;
  if (client.isJson) terminal.json(answer.text);
  else
    terminal.line(
      `${job_id}: ${work.verb === "Replay" ? "replaying" : "deleting"} ${count === null ? "" : many(count)}`,
    );
  if (options.wait === true) {
    if (!(await followJob(call, job_id))) process.exitCode = 1;
  } else if (!client.isJson && count !== null && count.count > 1) {
    terminal.note(`Watch it: hookd jobs get ${job_id} --wait`, "dim");
  }
}

async function counted(call: BulkCall, { path }: Work, json: object): Promise<DryRunBody> {
  const { client, terminal, options } = call;
  const answer = await client.call<DryRunBody>({ method: "POST", path, json: { ...json, dry_run: true } });
  if (options.dryRun === true) {
    if (client.isJson) terminal.json(answer.text);
    else terminal.line(many(answer.body));
  }
  return answer.body;
}

function selectionOf(options: BulkOptions & FilterOptions, work: Work): Record<string, unknown> {
  const ids = [...work.ids, ...(options.id ?? [])];
  const filter = filterOf(options);
  const more = Object.fromEntries(Object.entries(work.more).filter(([, value]) => value !== undefined));
  const names = Object.keys(filter).filter((name) => name !== "user_id");
  if (ids.length > 0 && (names.length > 0 || options.all === true)) {
    throw new Failure("ids do not go with a filter or --all: give one of them", { exitCode: 2 });
  }
  if (options.all === true && names.length > 0) {
    throw new Failure("--all does not go with a filter: give one of them", { exitCode: 2 });
  }
  if (ids.length === 0 && Object.keys(filter).length === 0 && options.all !== true) {
    throw new Failure("nothing says which deliveries", {
      exitCode: 2,
      hint: "give ids, a filter (--event, --webhook, --user, --reason, --since, --until), or --all",
    });
  }
  return {
    ...filter,
    ...more,
    ...(ids.length === 0 ? {} : { ids }),
    ...(options.all === true ? { all: true } : {}),
  };
}

function many({ count, is_exact }: DryRunBody): string {
  return `${is_exact ? "" : "at least "}${count.toLocaleString("en-US")} ${count === 1 ? "delivery" : "deliveries"}`;
}
