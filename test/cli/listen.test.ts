import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { execa } from "execa";
import { Webhook } from "standardwebhooks";
import { afterEach, describe, expect, it } from "vitest";
import {
  type ReceivedDelivery,
  type Receiver,
  type ReceiverOptions,
  startReceiver,
} from "../../src/cli/listen/receiver.ts";
import { parseSecret } from "../../src/domain/secret.ts";
import { legacySignature } from "../../src/domain/sign.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const NOW_SECONDS = 1_800_000_000;
const receivers: Receiver[] = [];

interface SetupOptions {
  readonly secrets?: readonly string[];
  readonly keys?: ReceiverOptions["keys"];
  readonly status?: number;
  readonly failShare?: number;
  readonly delayMs?: number;
}

async function setup(options: SetupOptions = {}) {
  const seen: ReceivedDelivery[] = [];
  const receiver = await startReceiver({
    host: "127.0.0.1",
    port: 0,
    keys: options.keys ?? (options.secrets ?? [SECRET]).map((text) => ({ text, bytes: parseSecret(text)! })),
    status: options.status ?? 200,
    failShare: options.failShare ?? 0,
    delayMs: options.delayMs ?? 0,
    forward: null,
    now: () => NOW_SECONDS * 1000,
    onDelivery: (delivery) => seen.push(delivery),
  });
  receivers.push(receiver);
  const post = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string>) =>
    fetch(receiver.url, {
      method: "POST",
      body,
      headers: { "content-type": "application/json", ...headers },
    });
  return { seen, post, url: receiver.url, stop: () => receiver.stop() };
}

/** Signed by the library that receivers use, not by hookd's own code. */
function signed(body: string, secret = SECRET, seconds = NOW_SECONDS): Record<string, string> {
  return {
    "webhook-id": "evt_1",
    "webhook-timestamp": String(seconds),
    "webhook-signature": new Webhook(secret).sign("evt_1", new Date(seconds * 1000), body),
    "hookd-event-id": "user.created",
    "hookd-webhook-id": "wh_1",
    "hookd-attempt": "2",
  };
}

afterEach(async () => {
  for (const receiver of receivers.splice(0)) await receiver.stop();
});

describe("hookd listen", () => {
  it("answers 200 to what is signed with its secret, and tells what came", async () => {
    const { seen, post } = await setup();
    const body = '{"id": 1.0}';
    const xSignature = `t=${NOW_SECONDS},v1=${legacySignature(SECRET, NOW_SECONDS, Buffer.from(body))}`;
    expect((await post(body, { ...signed(body), "x-signature": xSignature })).status).toBe(200);
    expect((await post(body, signed(body))).status).toBe(200);
    expect(seen[0]).toMatchObject({
      eventUid: "evt_1",
      eventId: "user.created",
      webhookId: "wh_1",
      attempt: "2",
      verdict: { kind: "verified" },
      status: 200,
    });
    expect(seen[0]?.body.toString()).toBe(body);
  });

  it("takes either secret during a rotation", async () => {
    const { post } = await setup({ secrets: [SECRET, OTHER] });
    expect((await post("{}", signed("{}", OTHER))).status).toBe(200);
  });

  it.each([
    ["nothing", {}, "webhook-signature missing"],
    ["another secret", signed("{}", OTHER), "webhook-signature no_match"],
    ["another body", signed("[]"), "webhook-signature no_match"],
    ["an old time", signed("{}", SECRET, NOW_SECONDS - 301), "webhook-signature timestamp_too_old"],
    [
      "a wrong x-signature",
      { ...signed("{}"), "x-signature": `t=${NOW_SECONDS},v1=00` },
      "x-signature no_match",
    ],
  ])("answers 401 to %s, and says why", async (_, headers, reason) => {
    const { seen, post } = await setup();
    const response = await post("{}", headers);
    expect(response.status).toBe(401);
    expect(await response.text()).toContain(reason);
    expect(seen[0]?.verdict).toEqual({ kind: "refused", reason });
  });

  it("checks nothing without a secret", async () => {
    const { seen, post } = await setup({ secrets: [] });
    expect((await post("{}", {})).status).toBe(200);
    expect(seen[0]?.verdict).toEqual({ kind: "unchecked" });
  });

  it("fails the share it was asked to, evenly", async () => {
    const { seen, post } = await setup({ failShare: 0.2 });
    for (let index = 0; index < 10; index += 1) await post("{}", signed("{}"));
    expect(seen.map(({ status }) => status)).toEqual([200, 200, 200, 200, 500, 200, 200, 200, 200, 500]);
    const all = await setup({ failShare: 1 });
    expect((await all.post("{}", signed("{}"))).status).toBe(500);
  });

  it("answers the status it was asked to, but for what is refused or fails", async () => {
    const { post } = await setup({ status: 503, failShare: 0.5 });
    const statuses = [];
    for (let index = 0; index < 4; index += 1) statuses.push((await post("{}", signed("{}"))).status);
    expect(statuses).toEqual([503, 500, 503, 500]);
    expect((await post("{}", {})).status).toBe(401);
    const empty = await setup({ status: 204 });
    expect((await empty.post("{}", signed("{}"))).status).toBe(204);
  });

  it("takes its time before it answers, and stops in the middle of that", async () => {
    const quick = await setup({ delayMs: 50 });
    expect((await quick.post("{}", signed("{}"))).status).toBe(200);

    const slow = await setup({ delayMs: 3_600_000 });
    const asked = slow.post("{}", signed("{}")).then(
      () => "answered",
      () => "hung up",
    );
    // Its request has come once another one, that needs no delay, is answered.
    await fetch(slow.url);
    await slow.stop();
    expect(await asked).toBe("hung up");
    expect(slow.seen).toEqual([]);
  });

  it("holds back what comes before the secret to check it with", async () => {
    const keys = Promise.withResolvers<NonNullable<Awaited<SetupOptions["keys"]>>>();
    const { seen, post, url } = await setup({ keys: keys.promise });
    const asked = post("{}", signed("{}"));
    await fetch(url);
    expect(seen).toEqual([]);
    keys.resolve([{ text: SECRET, bytes: parseSecret(SECRET)! }]);
    expect((await asked).status).toBe(200);
    expect(seen[0]?.verdict).toEqual({ kind: "verified" });
  });

  it("takes 1 MiB, refuses more with 413 and other methods with 405", async () => {
    const { seen, post, url } = await setup({ secrets: [] });
    expect((await post("x".repeat(1024 * 1024), {})).status).toBe(200);
    expect((await post("x".repeat(1024 * 1024 + 1), {}).catch(() => ({ status: 413 }))).status).toBe(413);
    expect((await fetch(url)).status).toBe(405);
    expect(seen).toHaveLength(1);
  });

  it("run as a command prints a line per delivery, inert, or JSON, and ends with 130 at Ctrl-C", async () => {
    for (const flags of [[], ["--json"]]) {
      const bin = join(import.meta.dirname, "../../bin/hookd");
      const child = execa(bin, ["listen", "--port", "0", ...flags], { reject: false });
      const [hello] = (await once(createInterface(child.stderr!), "line")) as [string];
      const url = /http:\S+/.exec(hello)![0];
      const line = once(createInterface(child.stdout!), "line");
      await fetch(url, { method: "POST", body: "\u001b[2Jhi\n", headers: { "webhook-id": "evt_1" } });
      const [text] = (await line) as [string];
      if (flags.length === 0)
        expect(text).toMatch(/^\S+Z\t200\t-\tevt_1\t-\tattempt -\tnot checked\t\\x1b\[2Jhi\\n$/);
      else expect(JSON.parse(text)).toMatchObject({ event_uid: "evt_1", status: 200, body: "\u001b[2Jhi\n" });
      child.kill("SIGINT");
      expect((await child).exitCode).toBe(130);
    }
  });

  it("ends at Ctrl-C also while somebody waits for an answer", async () => {
    const bin = join(import.meta.dirname, "../../bin/hookd");
    const child = execa(bin, ["listen", "--port", "0", "--delay", "1h"], { reject: false });
    const [hello] = (await once(createInterface(child.stderr!), "line")) as [string];
    const url = /http:\S+/.exec(hello)![0];
    const asked = connect(Number(new URL(url).port), "127.0.0.1");
    // Once it has been told to go on, its request has been read.
    asked.write("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n");
    expect(String(await once(asked, "data"))).toContain("100 Continue");
    asked.write("x");
    await fetch(url);
    child.kill("SIGINT");
    expect((await child).exitCode).toBe(130);
    asked.destroy();
  });

  it("a port that is taken, or an option that is none, is said", async () => {
    const { url } = await setup();
    const bin = join(import.meta.dirname, "../../bin/hookd");
    const taken = await execa(bin, ["listen", "--port", new URL(url).port], { reject: false });
    expect(taken).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(/cannot listen.*EADDRINUSE[\s\S]*--port/),
    });
    for (const [option, value, words] of [
      ["--status", "99", "from 200 to 599"],
      ["--delay", "2h", "an hour at most"],
      ["--forward", "ftp://a", "Expected a URL like"],
      ["--fail", "120%", "Expected a share"],
    ] as const) {
      const wrong = await execa(bin, ["listen", option, value], { reject: false });
      expect(wrong).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(words) });
    }
    const bad = await execa(bin, ["listen", "--secret", "hunter2"], { reject: false });
    expect(bad).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("whsec_") });
  });
});
