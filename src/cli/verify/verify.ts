import { type Command, InvalidArgumentError } from "commander";
import { type SigningKey, TOLERANCE_SECONDS } from "../../domain/sign.ts";
import { formatTime } from "../../lib/format.ts";
import { parseDuration } from "../../lib/units.ts";
import { addCommand, type Call, run } from "../command.ts";
import { Failure, messageOf } from "../failure.ts";
import { readAll, readInput } from "../input.ts";
import { secretKey } from "../options.ts";
import type { Terminal } from "../terminal.ts";
import { parseRawRequest, type RawRequest } from "./raw-request.ts";
import { checkSignatures, type SchemeCheck, type SignedMessage } from "./signature-check.ts";

interface VerifyOptions {
  readonly secret?: readonly string[];
  readonly id?: string;
  readonly timestamp?: string;
  readonly signature?: string;
  readonly xSignature?: string;
  readonly request?: string;
  readonly tolerance?: number;
  readonly json?: boolean;
}

/** The largest payload that hookd can be configured to take, and the headers. */
const BYTES_MAX = 17 * 1024 * 1024;
const SECRET_BYTES_MAX = 4_096;

export function addVerifyCommand(program: Command): void {
  addCommand(
    program,
    "verify",
    "Check a webhook's signature offline: says what is wrong with it; exits 0 only when it is good",
    [
      "hookd verify --secret @secret.txt --request request.http --tolerance none",
      "hookd verify --secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw --tolerance none " +
        "--id msg_p5jXN8AQM9LWM0D4loKWxJek --timestamp 1614265330 " +
        "--signature v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= '{\"test\": 2432232314}'",
      'cat body.json | hookd verify --secret @secret.txt --x-signature "$(cat x-signature.txt)" --tolerance none -',
    ],
  )
    .summary("Check a webhook's signature offline")
    .argument("[body]", "the body as it came: @file, - for what is piped in, or text")
    .option("--secret <secret>", "whsec_..., or @file; several times during a rotation", listed)
    .option("--request <file>", "a saved HTTP request, headers and body; - for what is piped in")
    .option("--id <id>", "the header webhook-id")
    .option("--timestamp <seconds>", "the header webhook-timestamp")
    .option("--signature <signature>", "the header webhook-signature: v1,<base64>")
    .option("--x-signature <signature>", "the header x-signature: t=<seconds>,v1=<hex>")
    .option(
      "--tolerance <duration>",
      `how old it may be, or ahead (${TOLERANCE_SECONDS / 60}m); none: any time`,
      toleranceOption,
    )
    .option("--json", "print the result as JSON")
    .action(run<[string | undefined], VerifyOptions>(verify));
}

async function verify({ args, options, terminal }: Call<[string | undefined], VerifyOptions>): Promise<void> {
  const keys = await keysOf(options);
  const saved = await savedRequest(options, args[0]);
  const message = await signedMessageOf(options, args[0], saved);
  const now = Date.now();
  const checks = checkSignatures(message, {
    keys,
    nowSeconds: Math.floor(now / 1000),
    toleranceSeconds: options.tolerance ?? TOLERANCE_SECONDS,
  });
  if (checks.length === 0) {
    throw new Failure("there is no signature to check", {
      exitCode: 2,
      hint:
        saved === null
          ? "give --signature with --id and --timestamp, or --x-signature, or --request with a saved request"
          : "the saved request has neither webhook-signature nor x-signature: save it with all of " +
            "its headers",
    });
  }
  const isGood = checks.every(({ ok }) => ok);
  if (options.json === true) terminal.json(JSON.stringify(jsonOf(checks, saved)));
  else print(terminal, checks, saved, now);
  if (!isGood) process.exitCode = 1;
}

async function keysOf({ secret }: VerifyOptions): Promise<SigningKey[]> {
  if (secret === undefined) {
    throw new Failure("nothing to check with: no --secret", {
      exitCode: 2,
      hint: "it was printed when the webhook was registered; later: GET /v1/webhooks/<id>/secret",
    });
  }
  return Promise.all(
    secret.map(async (text) => {
      const bytes = text.startsWith("@") ? await readInput(text, "the secret", SECRET_BYTES_MAX) : null;
      try {
        return secretKey(bytes === null ? text : Buffer.from(bytes).toString("utf8").trim());
      } catch (error) {
        throw new Failure(`--secret: ${messageOf(error)}`, { exitCode: 2, cause: error });
      }
    }),
  );
}

async function savedRequest(
  { request }: VerifyOptions,
  body: string | undefined,
): Promise<RawRequest | null> {
  if (request === undefined) return null;
  if (body !== undefined) {
    throw new Failure("--request brings the body along: leave out the other one", { exitCode: 2 });
  }
  return parseRawRequest(Buffer.from(await readAll(request, "the saved request", BYTES_MAX)));
}

/** What is given as an option wins over the saved request. */
async function signedMessageOf(
  options: VerifyOptions,
  body: string | undefined,
  saved: RawRequest | null,
): Promise<SignedMessage> {
  const header = (name: string) => saved?.headers.get(name);
  return {
    id: options.id ?? header("webhook-id"),
    timestamp: options.timestamp ?? header("webhook-timestamp"),
    signature: options.signature ?? header("webhook-signature"),
    xSignature: options.xSignature ?? header("x-signature"),
    body: saved?.body ?? (await readInput(body ?? missingBody(), "the body", BYTES_MAX)),
  };
}

function missingBody(): never {
  throw new Failure("nothing says what the body is", {
    exitCode: 2,
    hint: "give @file, or - for what is piped in; or a saved request with --request",
  });
}

function print(
  terminal: Terminal,
  checks: readonly SchemeCheck[],
  saved: RawRequest | null,
  now: number,
): void {
  const signedAt = ({ signedAtSeconds }: SchemeCheck) =>
    signedAtSeconds === null ? "" : `, signed ${formatTime(isoOf(signedAtSeconds), now)}`;
  for (const check of checks) {
    if (check.ok) terminal.line(`${check.header}: good${signedAt(check)}`, "green");
    else terminal.line(`${check.header}: ${check.what}`, "red");
  }
  if (saved?.note != null) terminal.note(`Note: ${saved.note}.`, "dim");
  if (checks.every(({ ok }) => ok)) return;
  if (saved?.damage != null)
    terminal.note(`The saved request is not as it was sent: ${saved.damage}.`, "yellow");
  for (const fix of new Set(checks.map((check) => check.fix).filter((text) => text !== null))) {
    terminal.note(fix);
  }
}

function jsonOf(checks: readonly SchemeCheck[], saved: RawRequest | null) {
  return {
    ok: checks.every(({ ok }) => ok),
    checks: checks.map(({ header, ok, code, signedAtSeconds, what, fix }) => ({
      header,
      ok,
      code,
      signed_at: signedAtSeconds === null ? null : isoOf(signedAtSeconds),
      what,
      fix,
    })),
    damage: saved?.damage ?? null,
  };
}

/** As it stands where it is later than any date there is. */
function isoOf(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? String(seconds) : date.toISOString();
}

function listed(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

/** Seconds. */
function toleranceOption(text: string): number {
  if (text === "none") return Number.MAX_SAFE_INTEGER;
  const ms = parseDuration(text);
  if (ms === null) throw new InvalidArgumentError("Expected a duration like 5m or 3d, or none for any time.");
  return Math.ceil(ms / 1000);
}
