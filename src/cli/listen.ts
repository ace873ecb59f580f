import { type Command, InvalidArgumentError } from "commander";
import { parseSecret } from "../domain/secret.ts";
import type { SigningKey } from "../domain/sign.ts";
import { addCommand, type Call, run } from "./command.ts";
import { Failure, messageOf } from "./failure.ts";
import { shareOption, wholeNumber } from "./options.ts";
import type { ReceivedDelivery, Receiver, ReceiverOptions } from "./receiver.ts";
import type { Colour, Terminal } from "./terminal.ts";

interface ListenOptions {
  readonly port: number;
  readonly host: string;
  readonly secret?: readonly SigningKey[];
  readonly fail: number;
  readonly json?: boolean;
}

const PORT = 9000;
/** Of a body, in characters: what fits beside the rest of the line. */
const EXCERPT_MAX = 200;

export function addListenCommand(program: Command): void {
  addCommand(program, "listen", "Receive webhooks here: verify, answer and print them", [
    "hookd listen --port 9000 --secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "hookd listen --port 9001 --fail 20%",
  ])
    .option("--port <port>", "port to listen on; 0: any free one", wholeNumber(0, 65_535), PORT)
    .option("--host <host>", "address to listen on", "127.0.0.1")
    .option("--secret <secret>", "whsec_...; several times during a rotation", secretOption)
    .option("--fail <share>", "share of deliveries to answer with 500, like 20%", shareOption, 0)
    .option("--json", "print a JSON object per delivery")
    .action(run<[], ListenOptions>(listen));
}

async function listen({ options, terminal }: Call<[], ListenOptions>): Promise<void> {
  const { startReceiver } = await import("./receiver.ts");
  const receiver = await start(startReceiver, {
    host: options.host,
    port: options.port,
    keys: options.secret ?? [],
    failShare: options.fail,
    now: Date.now,
    onDelivery(delivery) {
      if (options.json === true) terminal.json(JSON.stringify(jsonOf(delivery)));
      else printDelivery(terminal, delivery);
    },
  });
  const checks =
    options.secret === undefined ? "signatures are not checked: no --secret" : "checking signatures";
  terminal.note(`Listening on ${receiver.url} (${checks}). Ctrl-C ends it.`);
  await new Promise<void>((resolve) => {
    process.once("SIGINT", () => {
      process.exitCode = 130;
      resolve();
    });
    process.once("SIGTERM", resolve);
  });
  await receiver.stop();
}

async function start(
  startReceiver: (options: ReceiverOptions) => Promise<Receiver>,
  options: ReceiverOptions,
): Promise<Receiver> {
  try {
    return await startReceiver(options);
  } catch (error) {
    throw new Failure(`cannot listen on ${options.host}:${options.port}: ${messageOf(error)}`, {
      hint: "is something else listening there? choose another with --port",
      cause: error,
    });
  }
}

function printDelivery(terminal: Terminal, delivery: ReceivedDelivery): void {
  const { verdict, status } = delivery;
  const signature =
    verdict.kind === "refused" ? verdict.reason : verdict.kind === "unchecked" ? "not checked" : "verified";
  const colours: Record<typeof verdict.kind, Colour> = {
    verified: "green",
    refused: "red",
    unchecked: "yellow",
  };
  const text = delivery.body.toString("utf8");
  terminal.cells(
    [
      { text: new Date(delivery.at).toISOString() },
      { text: String(status), colour: status === 200 ? "green" : "red" },
      { text: delivery.eventId ?? "-" },
      { text: delivery.eventUid ?? "-" },
      { text: delivery.webhookId ?? "-" },
      { text: `attempt ${delivery.attempt ?? "-"}` },
      { text: signature, colour: colours[verdict.kind] },
      { text: text.length > EXCERPT_MAX ? `${text.slice(0, EXCERPT_MAX)}...` : text, colour: "dim" },
    ],
    terminal.isTable ? "  " : "\t",
  );
}

function jsonOf(delivery: ReceivedDelivery) {
  const text = delivery.body.toString("utf8");
  const isText = Buffer.from(text).equals(delivery.body);
  return {
    at: new Date(delivery.at).toISOString(),
    status: delivery.status,
    event_id: delivery.eventId,
    event_uid: delivery.eventUid,
    webhook_id: delivery.webhookId,
    attempt: delivery.attempt === null ? null : Number(delivery.attempt),
    signature: delivery.verdict.kind,
    reason: delivery.verdict.kind === "refused" ? delivery.verdict.reason : null,
    content_type: delivery.contentType,
    body: isText ? text : delivery.body.toString("base64"),
    body_encoding: isText ? "utf8" : "base64",
  };
}

function secretOption(text: string, before: readonly SigningKey[] = []): readonly SigningKey[] {
  const bytes = parseSecret(text);
  // The value itself stays out of the message.
  if (bytes === null) throw new InvalidArgumentError("Expected whsec_ and the base64 of 24-64 bytes.");
  return [...before, { text, bytes }];
}
