import { createReadStream } from "node:fs";
import type { Command } from "commander";
import type { AcceptedBody } from "./api-types.ts";
import { segment } from "./client.ts";
import { addClientOptions, addCommand, addGroup, type ClientCall, runClient } from "./command.ts";
import { Failure, messageOf } from "./failure.ts";
import { followDeliveries } from "./follow.ts";
import { plural } from "./format.ts";
import { durationOption } from "./options.ts";

interface SendOptions {
  readonly wait?: boolean;
  readonly timeout?: number;
  readonly uid?: string;
  readonly user?: string;
  readonly contentType: string;
}

const WAIT_MS = 60_000;
/** The largest `limits.payload_bytes` there can be: more is refused anyway, and need not be read. */
const PAYLOAD_BYTES_MAX = 16 * 1024 * 1024;

export function addEventCommands(program: Command): void {
  const group = addGroup(program, "events", "Publish events", [
    `hookd events send user.created '{"id": 1}' --wait`,
  ]).alias("event");

  addCommand(group, "send", "Publish an event, byte for byte as it is given", [
    `hookd events send user.created '{"id": 1}' --wait`,
    "hookd events send invoice.paid @invoice.json --user acme --uid inv_2026_0042",
    "echo hello | hookd events send greeting - --content-type text/plain",
  ])
    .alias("publish")
    .argument("<event>", "name of the event, like user.created")
    .argument("<payload>", "the payload, @file, or - for what is piped in")
    .option("--wait", "wait for the outcome; exits 0 only when all is delivered")
    .option("--timeout <duration>", "how long to wait (60s)", durationOption)
    .option("--uid <uid>", "the event's own id: sent twice it is still one event")
    .option("--user <user>", "whose event (default: the key's user); * with an admin key is everyone's")
    .option("--content-type <type>", "of the payload", "application/json")
    .action(runClient<[string, string], SendOptions>(send));
  addClientOptions(group);
}

async function send(call: ClientCall<[string, string], SendOptions>): Promise<void> {
  const { client, terminal, args, options } = call;
  const [event, payload] = args;
  const bytes = await payloadOf(payload);
  if (/^application\/json\b/i.test(options.contentType)) checkJson(bytes);
  const answer = await client.call<AcceptedBody>({
    method: "POST",
    path: `/publish/${segment(event)}`,
    query: { user_id: options.user },
    contentType: options.contentType,
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
  if (accepted.delivery_count === 0 && accepted.fan_out === undefined) return sayUnmatched(call);
  if (options.wait !== true) return;
  const followed = accepted.deliveries.map(({ id }) => id);
  if (followed.length < accepted.delivery_count) terminal.note(`Waiting for the first ${followed.length}.`);
  if (!(await followDeliveries(call, followed, options.timeout ?? WAIT_MS))) process.exitCode = 1;
}

function sayUnmatched({ terminal, args, options }: ClientCall<[string, string], SendOptions>): void {
  const user = options.user === undefined ? "" : ` --user ${options.user}`;
  terminal.note(
    `No webhook is registered for ${args[0]}, so there is nothing to deliver.\n` +
      `Register one: hookd webhooks add --event ${args[0]} --url https://...${user}`,
    "yellow",
  );
  if (options.wait === true) process.exitCode = 1;
}

async function payloadOf(text: string): Promise<Uint8Array<ArrayBuffer>> {
  if (text === "-") return readAll(process.stdin, "what is piped in");
  if (!text.startsWith("@")) return new Uint8Array(Buffer.from(text));
  return readAll(createReadStream(text.slice(1)), text.slice(1));
}

async function readAll(stream: AsyncIterable<Buffer>, name: string): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of stream) {
      bytes += chunk.length;
      if (bytes > PAYLOAD_BYTES_MAX)
        throw new Error(`more than ${PAYLOAD_BYTES_MAX} bytes, which no event may have`);
      chunks.push(chunk);
    }
  } catch (error) {
    throw new Failure(`the payload cannot be read: ${name}: ${messageOf(error)}`, {
      exitCode: 2,
      cause: error,
    });
  }
  return new Uint8Array(Buffer.concat(chunks));
}

function checkJson(bytes: Uint8Array): void {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new Failure(`the payload is not JSON: ${messageOf(error)}`, {
      exitCode: 2,
      hint: "quote it for the shell ('{\"id\": 1}'), or say what it is: --content-type text/plain",
      cause: error,
    });
  }
}
