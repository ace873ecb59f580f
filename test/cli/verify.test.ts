import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseRawRequest } from "../../src/cli/verify/raw-request.ts";
import { checkSignatures, type SignedMessage } from "../../src/cli/verify/signature-check.ts";
import { parseSecret } from "../../src/domain/secret.ts";
import { legacySignature, type SigningKey, standardSignature } from "../../src/domain/sign.ts";
import { temporaryDirectory } from "../support/world.ts";
import { hookd } from "./support.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const NOW_SECONDS = 1_800_000_000;
const BODY = '{"id": 1, "tags": ["a", "b"]}';

function keyOf(text: string): SigningKey {
  return { text, bytes: parseSecret(text)! };
}

/** A message as hookd signs it. */
function signed(body = BODY, seconds = NOW_SECONDS): SignedMessage & { body: Buffer } {
  const bytes = Buffer.from(body);
  return {
    id: "evt_1",
    timestamp: String(seconds),
    signature: standardSignature(keyOf(SECRET).bytes, "evt_1", seconds, bytes),
    xSignature: `t=${seconds},v1=${legacySignature(SECRET, seconds, bytes)}`,
    body: bytes,
  };
}

function check(
  message: SignedMessage,
  options: { secrets?: string[]; now?: number; tolerance?: number } = {},
) {
  return checkSignatures(message, {
    keys: (options.secrets ?? [SECRET]).map(keyOf),
    nowSeconds: options.now ?? NOW_SECONDS,
    toleranceSeconds: options.tolerance ?? 300,
  });
}

/** What is wrong with both signatures, and what to do. */
function wrongs(message: SignedMessage, options: Parameters<typeof check>[1] = {}): string[] {
  return check(message, options).map(({ what, fix }) => `${what} | ${fix}`);
}

describe("checking signatures", () => {
  it("finds both schemes good, with any of several secrets", () => {
    expect(check(signed()).map(({ header, ok }) => [header, ok])).toEqual([
      ["webhook-signature", true],
      ["x-signature", true],
    ]);
    expect(check(signed(), { secrets: [OTHER, SECRET] }).every(({ ok }) => ok)).toBe(true);
    const alone = { ...signed(), signature: undefined };
    expect(check(alone).map(({ header }) => header)).toEqual(["x-signature"]);
  });

  it("names the secret and the body where it can be either", () => {
    for (const message of [signed(), { ...signed(), body: Buffer.from('{"id": 2}') }]) {
      const secrets = message.body.length === BODY.length ? [OTHER] : [SECRET];
      for (const text of wrongs(message, { secrets })) {
        expect(text).toContain("the secret is another one, or the body was changed");
        expect(text).toContain(`these are ${message.body.length} bytes`);
      }
    }
  });

  it.each([
    ["a newline was added", BODY, `${BODY}\n`],
    ["a line end (CRLF) was added", BODY, `${BODY}\r\n`],
    ["the newline at its end was lost", `${BODY}\n`, BODY],
    ["its lines now end with CRLF", "a\nb", "a\r\nb"],
    ["its lines now end with LF", "a\r\nb", "a\nb"],
    ["a byte order mark was put in front", BODY, `\ufeff${BODY}`],
    ["it was empty when it was signed", "", BODY],
    ["it was JSON without white space", '{"id":1,"tags":["a","b"]}', BODY],
    ["it was JSON indented by two", '{\n  "id": 1\n}', '{"id":1}'],
    ["it was JSON indented by four", '{\n    "id": 1\n}', '{"id":1}'],
    ["it was JSON with a space after , and :", BODY, '{"id":1,"tags":["a","b"]}'],
  ])("says that the secret is right where %s", (words, sent, received) => {
    for (const text of wrongs({ ...signed(sent), body: Buffer.from(received) })) {
      expect(text).toContain(`the secret is right, but the body was changed: ${words}`);
    }
  });

  it("says by how much it is too old or ahead, and whether the signature is right besides", () => {
    for (const text of wrongs(signed(BODY, NOW_SECONDS - 7_200))) {
      expect(text).toContain("the timestamp is 2h old, 1h more than the tolerance of 5m");
      expect(text).toContain(
        "the signature itself is right | For a request that was saved a while ago: --tolerance none",
      );
    }
    for (const text of wrongs(signed(BODY, NOW_SECONDS + 600))) {
      expect(text).toContain("the timestamp is 10m in the future, 5m more than the tolerance of 5m");
      expect(text).toContain("clocks");
    }
    for (const text of wrongs(signed(BODY, NOW_SECONDS - 7_200), { secrets: [OTHER] })) {
      expect(text).toContain("2h old");
      expect(text).toContain("besides, it was not made with this secret");
    }
    expect(check(signed(BODY, NOW_SECONDS - 7_200), { tolerance: 7_200 }).every(({ ok }) => ok)).toBe(true);
  });

  it("tells which header was changed where the other scheme is right", () => {
    const [standard] = check({ ...signed(), id: "evt_2" });
    expect(standard?.what).toContain("x-signature is right, so the secret, the body and its time are");
    const keyed = `t=${NOW_SECONDS},v1=${"0".repeat(64)}`;
    const [, legacy] = check({ ...signed(), xSignature: keyed });
    expect(legacy?.what).toContain("webhook-signature is right, so the secret and the body are");
    const wrongKey = standardSignature(Buffer.from(SECRET), "evt_1", NOW_SECONDS, Buffer.from(BODY));
    expect(check({ ...signed(), signature: wrongKey })[0]?.what).toContain("secret's text as the key");
  });

  it.each([
    [{ id: undefined }, "webhook-id (--id) is missing"],
    [{ timestamp: undefined }, "webhook-timestamp (--timestamp) is missing"],
    [{ timestamp: "soon" }, "webhook-timestamp is malformed"],
    [{ timestamp: `${NOW_SECONDS}000` }, "is in milliseconds"],
    [{ signature: "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" }, "expected entries like v1,<base64>"],
    [{ signature: "0".repeat(64) }, "give x-signature with --x-signature"],
    [{ signature: "v1a,abc= v2,def=" }, "no v1 signature, only v1a, v2"],
    [{ xSignature: "" }, "the header is empty"],
    [{ xSignature: "v1=00" }, "expected t=<seconds>,v1=<hex>"],
    [{ xSignature: `t=${NOW_SECONDS}000,v1=00` }, "is in milliseconds"],
    [{ xSignature: "t=x,v1=00" }, "its t is malformed"],
    [
      { xSignature: signed().xSignature?.toUpperCase().replace("T=", "t=").replace("V1=", "v1=") },
      "capital letters",
    ],
  ])("says what is wrong with a header: %j", (change, words) => {
    expect(wrongs({ ...signed(), ...change }).join("\n")).toContain(words);
  });
});

describe("a saved request", () => {
  const head = ["POST /hooks HTTP/1.1", "Host: a", "Webhook-Id:  evt_1 "];

  it("is read with or without its request line, with CRLF or LF", () => {
    for (const lines of [head, head.slice(1)]) {
      for (const end of ["\r\n", "\n"]) {
        const { headers, body } = parseRawRequest(Buffer.from(`${lines.join(end)}${end}${end}a\n\nb`));
        expect(headers.get("webhook-id")).toBe("evt_1");
        expect(body.toString()).toBe("a\n\nb");
      }
    }
  });

  it("is cut at its content-length, and damaged where that is more than there is", () => {
    const of = (length: number) => parseRawRequest(Buffer.from(`content-length: ${length}\n\nabc\n`));
    expect(of(3)).toMatchObject({ damage: null, note: expect.stringContaining("1 bytes behind the body") });
    expect(of(3).body.toString()).toBe("abc");
    expect(of(4)).toMatchObject({ damage: null, note: null });
    expect(of(9).damage).toContain("has 4 bytes and not 9");
    expect(parseRawRequest(Buffer.from("content-encoding: gzip\n\nabc")).damage).toContain("gzip");
  });

  it.each([
    ["a: b\nc: d", "no empty line"],
    ["\n\nabc", "no header"],
    ["POST / HTTP/1.1\n\nabc", "no headers"],
    ["a: b\nwhat is this\n\n", "line 2 is no header"],
    ["transfer-encoding: chunked\n\n3\r\nabc", "in chunks"],
  ])("is refused where it is none: %j", (text, words) => {
    expect(() => parseRawRequest(Buffer.from(text))).toThrow(words);
  });
});

describe("hookd verify", () => {
  function saved(message = signed(BODY, Math.floor(Date.now() / 1000))): { dir: string; file: string } {
    const dir = temporaryDirectory();
    const file = join(dir, "request.http");
    const head = [
      "POST /hooks HTTP/1.1",
      `webhook-id: ${message.id}`,
      `webhook-timestamp: ${message.timestamp}`,
      `webhook-signature: ${message.signature}`,
      `x-signature: ${message.xSignature}`,
    ];
    writeFileSync(file, Buffer.concat([Buffer.from(`${head.join("\r\n")}\r\n\r\n`), message.body]));
    return { dir, file };
  }

  it("exits 0 only when all is good, and says since when it was signed", async () => {
    const { dir, file } = saved();
    const good = await hookd(["verify", "--secret", SECRET, "--request", file]);
    expect(good).toMatchObject({ exitCode: 0, stderr: "" });
    expect(good.stdout).toMatch(/^webhook-signature: good, signed \ds ago \(\S+Z\)\nx-signature: good, /);

    writeFileSync(join(dir, "secret.txt"), `${OTHER}\n`);
    const bad = await hookd(["verify", "--secret", `@${join(dir, "secret.txt")}`, "--request", file]);
    expect(bad.exitCode).toBe(1);
    expect(bad.stdout).toContain("webhook-signature: it was not made with this secret");
    expect(bad.stderr).toContain("GET /v1/webhooks/<id>/secret");
  });

  it("takes the parts one by one, and the body from a file, a pipe or the line", async () => {
    const { id, timestamp, signature, body } = signed(BODY, Math.floor(Date.now() / 1000));
    const parts = ["--secret", SECRET, "--id", id!, "--timestamp", timestamp!, "--signature", signature!];
    const file = join(temporaryDirectory(), "body");
    writeFileSync(file, body);
    expect((await hookd(["verify", ...parts, `@${file}`])).exitCode).toBe(0);
    expect((await hookd(["verify", ...parts, "-"], { input: BODY })).exitCode).toBe(0);
    expect((await hookd(["verify", ...parts, BODY])).exitCode).toBe(0);
    expect((await hookd(["verify", ...parts, `${BODY} `])).exitCode).toBe(1);
  });

  it("one wrong scheme of two is not good; --json tells of each", async () => {
    const { file } = saved({ ...signed(BODY, Math.floor(Date.now() / 1000)), xSignature: "t=1,v1=00" });
    const { stdout, exitCode } = await hookd(["verify", "--secret", SECRET, "--request", file, "--json"]);
    expect(exitCode).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      checks: [
        { header: "webhook-signature", ok: true, code: null, what: null },
        { header: "x-signature", ok: false, code: "timestamp_too_old", fix: expect.any(String) },
      ],
    });
  });

  it.each([
    [["--secret", SECRET, "{}"], "no signature to check"],
    [["--secret", SECRET], "nothing says what the body is"],
    [["--x-signature", "t=1,v1=00", "{}"], "no --secret"],
    [["--secret", "hunter2", "--x-signature", "t=1,v1=00", "{}"], "does not begin with whsec_"],
    [["--secret", "whsec_abc", "--x-signature", "t=1,v1=00", "{}"], "is it cut"],
    [["--secret", SECRET, "--request", "/nonexistent"], "/nonexistent: ENOENT"],
    [["--secret", SECRET, "--request", "x", "{}"], "brings the body along"],
    [["--secret", SECRET, "--tolerance", "long", "{}"], "none for any time"],
  ])("is asked wrongly by %j", async (args, words) => {
    const { exitCode, stdout, stderr } = await hookd(["verify", ...args]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toContain(words);
    expect(stderr).not.toContain("hunter2");
  });
});
