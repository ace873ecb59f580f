import { type Command, InvalidArgumentError } from "commander";
import type { SigningKey } from "../../domain/sign.ts";
import { createClient } from "../client.ts";
import { addCommand, addServerOptions, type Call, run } from "../command.ts";
import { Failure, messageOf } from "../failure.ts";
import { durationOption, listOption, secretKey, shareOption, wholeNumber } from "../options.ts";
import type { Terminal } from "../terminal.ts";
import { printReceived } from "./output.ts";
import type { Receiver } from "./receiver.ts";
import { createRegistrations, type Registrations } from "./registrations.ts";

interface ListenOptions {
  readonly port: number;
  readonly host: string;
  readonly secret?: readonly SigningKey[];
  readonly status?: number;
  readonly fail: number;
  readonly delay: number;
  readonly forward?: URL;
  readonly register?: readonly string[];
  readonly user?: string;
  readonly server?: string;
  readonly key?: string;
  readonly dataDir?: string;
  readonly json?: boolean;
}

const PORT = 9000;
const STATUS = 200;
const DELAY_MAX_MS = 3_600_000;

export function addListenCommand(program: Command): void {
  const command = addCommand(program, "listen", "Receive webhooks here: verify, answer and print them", [
    "hookd listen --port 9000 --secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "hookd listen --port 9001 --fail 20%",
    "hookd listen --register user.created,invoice.paid",
    "hookd listen --register 'order.*' --forward http://127.0.0.1:3000/hooks",
    "hookd listen --port 9002 --status 503 --delay 2s",
  ])
    .option("--port <port>", "port to listen on; 0: any free one", wholeNumber(0, 65_535), PORT)
    .option("--host <host>", "address to listen on", "127.0.0.1")
    .option("--secret <secret>", "whsec_...; several times during a rotation", secretOption)
    .option("--status <code>", `what to answer, 200 to 599 (${STATUS})`, wholeNumber(200, 599))
    .option("--fail <share>", "share of deliveries to answer with 500 instead, like 20%", shareOption, 0)
    .option("--delay <duration>", "how long each answer takes, like 2s; an hour at most", delayOption, 0)
    .option("--forward <url>", "hand them on to this URL, and answer what it answers", urlOption)
    .option("--json", "print a JSON object per delivery")
    .optionsGroup("Options for webhooks that live as long as this command:")
    .option(
      "--register <events>",
      "register for these events (order.*, * too) with a hookd that runs with --dev; with commas, " +
        "or several times",
      listOption,
    )
    .option("--user <user>", "whose webhooks; default: the key's user");
  addServerOptions(command).action(run<[], ListenOptions>(listen));
}

async function listen({ options, terminal }: Call<[], ListenOptions>): Promise<void> {
  if (options.forward !== undefined && options.status !== undefined)
    throw new Failure("--forward answers what that URL answers: leave out --status", { exitCode: 2 });
  const { user, server, key, dataDir } = options;
  if (options.register === undefined && [user, server, key, dataDir].some((given) => given !== undefined))
    throw new Failure("--user, --server, --key and --data-dir go with --register", { exitCode: 2 });
  // Listened for from the first moment: what is registered by then is to be removed.
  const stopped = stopSignal(terminal);
  const events = [...new Set(options.register ?? [])];
  const registrations = events.length === 0 ? null : registrationsOf(options, terminal);
  const keys = Promise.withResolvers<readonly SigningKey[]>();
  // Whoever waits for them hears of a failure; that nobody waits is no failure.
  keys.promise.catch(() => {});
  const receiver = await start(options, terminal, keys.promise);
  try {
    terminal.note(`Listening on ${receiver.url} (${checksText(options)}). Ctrl-C ends it.`);
    const made = registrations === null ? [] : await register(registrations, receiver.url, events, stopped);
    keys.resolve([...(options.secret ?? []), ...made]);
    await stopped.promise;
  } catch (error) {
    keys.reject(error);
    throw error;
  } finally {
    // First these, while what is in flight is still answered.
    if (registrations !== null && !(await registrations.removeAll())) process.exitCode = 1;
    await receiver.stop();
  }
}

function registrationsOf(options: ListenOptions, terminal: Terminal): Registrations {
  const { server, key, dataDir, user, secret } = options;
  const client = createClient(
    {
      ...(server === undefined ? {} : { server }),
      ...(key === undefined ? {} : { key }),
      ...(dataDir === undefined ? {} : { dataDir }),
    },
    terminal,
  );
  return createRegistrations(client, terminal, { userId: user, secret: secret?.[0]?.text });
}

async function register(
  registrations: Registrations,
  url: string,
  events: readonly string[],
  stopped: StopSignal,
): Promise<SigningKey[]> {
  const keys: SigningKey[] = [];
  for (const event of events) {
    if (stopped.isAsked()) break;
    keys.push(await registrations.add(event, url));
  }
  return keys;
}

function checksText({ secret, register: events }: ListenOptions): string {
  if (events !== undefined) return "checking signatures of what it registers";
  return secret === undefined ? "signatures are not checked: no --secret" : "checking signatures";
}

interface StopSignal {
  readonly promise: Promise<void>;
  isAsked(): boolean;
}

/**
 * Ctrl-C, SIGTERM, a closed terminal, or a reader of the pipe who has gone: what was registered is removed all the same.
 * A second signal ends the process at once.
 */
function stopSignal(terminal: Terminal): StopSignal {
  const { promise, resolve } = Promise.withResolvers<void>();
  let isAsked = false;
  const stop = () => {
    isAsked = true;
    resolve();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (isAsked) {
        terminal.note(
          "Ending at once: what was registered may still be there (hookd webhooks list).",
          "yellow",
        );
        process.exit(130);
      }
      if (signal === "SIGINT") process.exitCode = 130;
      stop();
    });
  }
  for (const stream of [process.stdout, process.stderr]) {
    // Elsewhere a broken pipe ends the process on the spot.
    stream.removeAllListeners("error");
    stream.on("error", stop);
  }
  return { promise, isAsked: () => isAsked };
}

async function start(
  options: ListenOptions,
  terminal: Terminal,
  keys: Promise<readonly SigningKey[]>,
): Promise<Receiver> {
  const { startReceiver } = await import("./receiver.ts");
  const { createForwarder } = await import("./forward.ts");
  try {
    return await startReceiver({
      host: options.host,
      port: options.port,
      keys,
      status: options.status ?? STATUS,
      failShare: options.fail,
      delayMs: options.delay,
      forward: options.forward === undefined ? null : createForwarder(options.forward),
      now: Date.now,
      onDelivery: (delivery) => printReceived(terminal, delivery, options.json === true),
    });
  } catch (error) {
    throw new Failure(`cannot listen on ${options.host}:${options.port}: ${messageOf(error)}`, {
      hint: "is something else listening there? choose another with --port",
      cause: error,
    });
  }
}

function secretOption(text: string, before: readonly SigningKey[] = []): readonly SigningKey[] {
  return [...before, secretKey(text)];
}

function delayOption(text: string): number {
  const ms = durationOption(text);
  if (ms <= DELAY_MAX_MS) return ms;
  throw new InvalidArgumentError("Expected an hour at most: no sender waits that long.");
}

function urlOption(text: string): URL {
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return new URL(text);
  throw new InvalidArgumentError("Expected a URL like http://127.0.0.1:3000/hooks.");
}
