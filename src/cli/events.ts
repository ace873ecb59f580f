import type { Command } from "commander";
import type { AcceptedBody } from "../http-api.ts";
import { plural } from "../lib/format.ts";
import { segment } from "./client.ts";
import { addClientOptions, addCommand, addGroup, type ClientCall, runClient } from "./command.ts";
import { Failure, messageOf } from "./failure.ts";
import { followDeliveries } from "./follow.ts";
import { readInput } from "./input.ts";
import { durationOption, wholeNumber } from "./options.ts";
import { sendFile } from "./send-file.ts";

interface SendOptions {
  readonly event?: string;
  readonly payload?: string;
  readonly file?: string;
  readonly batch?: number;
  readonly wait?: boolean;
  readonly timeout?: number;
  readonly uid?: string;
  readonly user?: string;
  readonly contentType?: string;
}

type SendCall = ClientCall<[string | undefined, string | undefined], SendOptions>;

const WAIT_MS = 60_000;
const CONTENT_TYPE = "application/json";
/** The largest `limits.payload_bytes` there can be: more is refused anyway, and need not be read. */
const PAYLOAD_BYTES_MAX = 16 * 1024 * 1024;
/** hookd takes 1,000; half of that keeps the answers small, and is as fast. */
const BATCH_ITEMS = 500;
const BATCH_ITEMS_MAX = 1_000;

export function addEventCommands(program: Command): void {
  const group = addGroup(program, "events", "Publish events", [
    `hookd events send user.created '{"id": 1}' --wait`,
  ]).alias("event");

  addCommand(
    group,
    "send",
    "Publish an event, byte for byte as it is given, or many from a file: text, @file, or - for " +
      "what is piped in",
    [
      `hookd events send user.created '{"id": 1}' --wait`,
      "hookd events send --event invoice.paid --payload @invoice.json --user acme --uid inv_2026_0042",
      "echo hello | hookd events send greeting - --content-type text/plain",
      "hookd events send --file events.ndjson",
      "hookd events send --file payloads.ndjson --event user.created --user acme",
    ],
  )
    .summary("Publish an event, or many from a file")
    .alias("publish")
    .argument("[event]", "name of the event, like user.created")
    .argument("[payload]", "the payload, @file, or - for what is piped in")
    .option("--event <event>", "name of the event, instead of the first argument")
    .option("--payload <payload>", "the payload, @file or -, instead of the last argument")
    .option("--uid <uid>", "the event's own id: sent twice it is still one event")
    .option("--user <user>", "whose event (default: the key's user); * with an admin key is everyone's")
    .option("--content-type <type>", `of the payload (${CONTENT_TYPE})`)
    .option(
      "--wait",
      "wait for the outcome; exits 0 only when all is delivered, and so never for a large broadcast",
    )
    .option(
      "--timeout <duration>",
      "with --wait: how long; with --file: how long to send again what is refused for now (60s)",
      durationOption,
    )
    .option(
      "--file <file>",
      "many events, one a line as JSON: {event_id, payload, event_uid?, user_id?}; " +
        "with --event each line is a payload",
    )
    .option(
      "--batch <count>",
      `with --file: events of a request (${BATCH_ITEMS})`,
      wholeNumber(1, BATCH_ITEMS_MAX),
    )
    .action(runClient<[string | undefined, string | undefined], SendOptions>(send));
  addClientOptions(group);
}

async function send(call: SendCall): Promise<void> {
  const { file } = call.options;
  if (file !== undefined) return sendMany(call, file);
  if (call.options.batch !== undefined) throw usage("--batch goes with --file");
  if (call.options.timeout !== undefined && call.options.wait !== true)
    throw usage("--timeout goes with --wait or --file");
  const [event, payload] = eventAndPayload(call);
  await sendOne(call, event, payload);
}

/** From arguments or options; with --event the only argument is the payload. */
function eventAndPayload({ args, options }: SendCall): readonly [string, string] {
  const given = args.filter((argument) => argument !== undefined);
  const event = options.event ?? given.shift();
  const payload = options.payload ?? given.shift();
  if (given.length > 0) {
    throw usage("the event and its payload are given twice: as arguments and as options");
  }
  if (event === undefined) throw usage("nothing says which event");
  if (payload === undefined) throw usage("nothing says what the payload is");
  return [event, payload];
}

async function sendOne(call: SendCall, event: string, payload: string): Promise<void> {
  const { client, terminal, options } = call;
  const { contentType = CONTENT_TYPE } = options;
  const bytes = await readInput(payload, "the payload", PAYLOAD_BYTES_MAX);
  if (/^application\/json\b/i.test(contentType)) checkJson(bytes);
  const answer = await client.call<AcceptedBody>({
    method: "POST",
    path: `/publish/${segment(event)}`,
    query: { user_id: options.user },
    contentType,
    bytes,
    ...(options.uid === undefined ? {} : { headers: { "idempotency-key": options.uid } }),
  });
  const accepted = answer.body;
  if (client.isJson) {
    terminal.json(answer.text);
  } else {
    const count = plural(accepted.delivery_count, "delivery", "deliveries");
    const note = accepted.duplicate ? ", published before" : "";
    terminal.line(
      [answer.status, accepted.event_uid, `${count}${note}`].filter((part) => part !== null).join(", "),
    );
  }
  if (accepted.fan_out !== undefined) {
    terminal.note(`The broadcast's deliveries are being made: hookd jobs get ${accepted.fan_out} --wait`);
  }
  if (accepted.delivery_count === 0 && accepted.fan_out === undefined) return sayUnmatched(call, event);
  if (options.wait !== true) return;
  const followed = accepted.deliveries.map(({ id }) => id);
  const isWhole = accepted.fan_out === undefined && followed.length === accepted.delivery_count;
  const isDelivered = await followDeliveries(call, followed, options.timeout ?? WAIT_MS);
  if (!isWhole) sayNotFollowed(call, event, followed.length);
  if (!isDelivered || !isWhole) process.exitCode = 1;
}

/** A broadcast's deliveries are not all in its answer. */
function sayNotFollowed({ terminal }: SendCall, event: string, followed: number): void {
  const first = followed === 1 ? "the first was" : `the first ${followed} were`;
  const waited = followed === 0 ? "None of them was" : `Only ${first}`;
  terminal.note(
    `${waited} waited for. Those that are not delivered: hookd deliveries list --event ${event} --status failed`,
    "yellow",
  );
}

function sayUnmatched({ terminal, options }: SendCall, event: string): void {
  const user = options.user === undefined ? "" : ` --user ${options.user}`;
  terminal.note(
    `No webhook is registered for ${event}, so there is nothing to deliver.\n` +
      `Register one: hookd webhooks add --event ${event} --url https://...${user}`,
    "yellow",
  );
  if (options.wait === true) process.exitCode = 1;
}

async function sendMany(call: SendCall, file: string): Promise<void> {
  const { client, terminal, args, options } = call;
  const { event, user } = options;
  const single = [
    ...(args[0] === undefined ? [] : ["an event as argument"]),
    ...(options.payload === undefined ? [] : ["--payload"]),
    ...(options.uid === undefined ? [] : ["--uid"]),
    ...(options.contentType === undefined ? [] : ["--content-type"]),
    ...(options.wait === true ? ["--wait"] : []),
  ];
  if (single.length > 0) throw usage(`--file does not go with ${single.join(", ")}: those are of one event`);
  if (event === undefined && user !== undefined) {
    throw usage("--user with --file needs --event: otherwise each line names its own user_id");
  }
  const wrap = event === undefined ? (line: Buffer) => line : wrapPayload(event, user);
  const isComplete = await sendFile(
    { client, terminal },
    { file, wrap, batchItems: options.batch ?? BATCH_ITEMS, patienceMs: options.timeout ?? WAIT_MS },
  );
  if (!isComplete) process.exitCode = 1;
}

/** An event round a payload, which stays as it is written. What is no JSON could be more than a payload. */
function wrapPayload(event: string, user: string | undefined): (line: Buffer) => Buffer | null {
  const owner = user === undefined ? "" : `"user_id":${JSON.stringify(user)},`;
  const head = Buffer.from(`{"event_id":${JSON.stringify(event)},${owner}"payload":`);
  const tail = Buffer.from("}");
  return (line) => (isJson(line) ? Buffer.concat([head, line, tail]) : null);
}

function isJson(bytes: Uint8Array): boolean {
  try {
    parseJson(bytes);
    return true;
  } catch {
    return false;
  }
}

function parseJson(bytes: Uint8Array): void {
  JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
}

function checkJson(bytes: Uint8Array): void {
  try {
    parseJson(bytes);
  } catch (error) {
    throw new Failure(`the payload is not JSON: ${messageOf(error)}`, {
      exitCode: 2,
      hint: "quote it for the shell ('{\"id\": 1}'), or say what it is: --content-type text/plain",
      cause: error,
    });
  }
}

function usage(message: string): Failure {
  return new Failure(message, {
    exitCode: 2,
    hint: "for example: hookd events send user.created '{\"id\": 1}', or: hookd events send --file events.ndjson",
  });
}
