import { createHmac } from "node:crypto";
import fc from "fast-check";
import { Webhook as StandardWebhook } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as SvixWebhook } from "svix";
import { describe, expect, test } from "vitest";
import { formatSecret, parseSecret } from "../../src/domain/secret.ts";
import {
  legacySignature,
  type SigningKey,
  signatureHeaders,
  standardSignature,
  verifyLegacy,
  verifyStandard,
} from "../../src/domain/sign.ts";

const FIRST = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SECOND = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const BODY = Buffer.from('{"test": 2432232314}');
const NOW = 1_700_000_000;

const keyOf = (text: string): SigningKey => ({ text, bytes: parseSecret(text)! });
const keys = fc
  .uint8Array({ minLength: 24, maxLength: 64 })
  .map((bytes): SigningKey => ({ text: formatSecret(bytes), bytes }));
const uids = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);
const bodies = fc.uint8Array({ maxLength: 200 });

describe("a Standard Webhooks signature", () => {
  test.each([
    [
      FIRST,
      "msg_p5jXN8AQM9LWM0D4loKWxJek",
      1614265330,
      BODY,
      "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ],
    [
      SECOND,
      "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
      1649367553,
      Buffer.from('{"email":"test@example.com","username":"test_user"}'),
      "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    ],
    [
      FIRST,
      "msg_bin",
      NOW,
      Buffer.from("00fffe01", "hex"),
      "v1,s1BvxHOY+t3s0BVaioOg9pwUkZiRO8t06EQkP+t86fM=",
    ],
    [FIRST, "msg_empty", NOW, Buffer.alloc(0), "v1,LrOGikvEp3ovC4ipwU5sfXzzFy9SMN1tDL3jPPGtLmc="],
  ])("is that of the vector %s %s", (secret, id, timestamp, body, signature) => {
    expect(standardSignature(parseSecret(secret)!, id, timestamp, body)).toBe(signature);
  });

  test("covers the bytes, not their reading as UTF-8", () => {
    const key = keyOf(FIRST).bytes;
    const broken = standardSignature(key, "a", NOW, Uint8Array.of(0xff));
    expect(broken).not.toBe(standardSignature(key, "a", NOW, Buffer.from("\ufffd")));
  });
});

describe("the legacy signature", () => {
  test("is the hex HMAC of time, dot and body under the whole text of the secret", () => {
    const expected = createHmac("sha256", FIRST).update(`${NOW}.`).update(BODY).digest("hex");
    expect(legacySignature(FIRST, NOW, BODY)).toBe(expected);
    expect(expected).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe("the headers of an attempt", () => {
  test("name the newest key first, in both forms", () => {
    const headers = signatureHeaders([keyOf(SECOND), keyOf(FIRST)], "msg_1", NOW, BODY);
    const standard = [SECOND, FIRST].map((text) => standardSignature(parseSecret(text)!, "msg_1", NOW, BODY));
    expect(headers.webhookSignature).toBe(standard.join(" "));
    expect(headers.xSignature).toBe(
      `t=${NOW},v1=${legacySignature(SECOND, NOW, BODY)},v1=${legacySignature(FIRST, NOW, BODY)}`,
    );
  });

  test("are plain HMACs of any id and body under any keys, however long", () => {
    const lengths = fc.constantFrom(0, 1, 63, 64, 65, 1_024, 16 * 1_024, 16 * 1_024 + 1, 100_000);
    const ids = fc.oneof(uids, fc.string({ unit: "binary", maxLength: 300 }));
    const given = fc.array(keys, { minLength: 1, maxLength: 3 });
    const times = fc.nat({ max: 2 ** 33 });
    fc.assert(
      fc.property(given, ids, times, lengths, fc.nat(255), (secrets, id, time, length, byte) => {
        const body = Buffer.alloc(length, byte);
        const mac = (key: string | Uint8Array, prefix: string) =>
          createHmac("sha256", key).update(prefix, "utf8").update(body);
        expect(signatureHeaders(secrets, id, time, body)).toEqual({
          webhookSignature: secrets
            .map(({ bytes }) => `v1,${mac(bytes, `${id}.${time}.`).digest("base64")}`)
            .join(" "),
          xSignature: `t=${time}${secrets.map(({ text }) => `,v1=${mac(text, `${time}.`).digest("hex")}`).join("")}`,
        });
      }),
      { numRuns: 500 },
    );
  });

  test("are never made without a key", () => {
    expect(() => signatureHeaders([], "msg_1", NOW, BODY)).toThrow("no secret");
  });
});

describe("the receivers' own libraries", () => {
  const json = fc.json().map((text) => Buffer.from(text));

  test("standardwebhooks and svix verify with either key of a rotation, and with no other", () => {
    const now = Math.floor(Date.now() / 1000);
    fc.assert(
      fc.property(keys, keys, keys, uids, json, (fresh, old, other, id, body) => {
        fc.pre(other.text !== fresh.text && other.text !== old.text);
        const signature = signatureHeaders([fresh, old], id, now, body).webhookSignature;
        const headers = {
          "webhook-id": id,
          "webhook-timestamp": String(now),
          "webhook-signature": signature,
        };
        const svixHeaders = { "svix-id": id, "svix-timestamp": String(now), "svix-signature": signature };
        for (const { text } of [fresh, old]) {
          expect(() => new StandardWebhook(text).verify(body, headers)).not.toThrow();
          expect(() => new SvixWebhook(text).verify(body, headers)).not.toThrow();
          expect(() => new SvixWebhook(text).verify(body, svixHeaders)).not.toThrow();
        }
        expect(() => new StandardWebhook(other.text).verify(body, headers)).toThrow();
        expect(() => new SvixWebhook(other.text).verify(body, headers)).toThrow();
      }),
      { numRuns: 50 },
    );
  });

  test("stripe verifies x-signature with either key of a rotation, and with no other", () => {
    const stripe = new Stripe("sk_test_unused");
    const verify = (body: Buffer, header: string, secret: string) =>
      stripe.webhooks.signature!.verifyHeader(body, header, secret, 300, undefined, NOW * 1000);
    fc.assert(
      fc.property(keys, keys, keys, uids, json, (fresh, old, other, id, body) => {
        fc.pre(other.text !== fresh.text && other.text !== old.text);
        const { xSignature } = signatureHeaders([fresh, old], id, NOW, body);
        expect(verify(body, xSignature, fresh.text)).toBe(true);
        expect(verify(body, xSignature, old.text)).toBe(true);
        expect(() => verify(body, xSignature, other.text)).toThrow();
      }),
      { numRuns: 50 },
    );
  });

  test("and hookd's verifier takes what they sign", () => {
    const signature = new StandardWebhook(FIRST).sign("msg_1", new Date(NOW * 1000), BODY);
    const headers = { id: "msg_1", timestamp: String(NOW), signature };
    expect(verifyStandard([keyOf(FIRST).bytes], headers, BODY, NOW)).toEqual({
      ok: true,
      timestampSeconds: NOW,
    });
    const stripe = new Stripe("sk_test_unused");
    const payload = BODY.toString();
    const header = stripe.webhooks.generateTestHeaderString({ payload, secret: FIRST, timestamp: NOW });
    expect(verifyLegacy([FIRST], header, BODY, NOW)).toEqual({ ok: true, timestampSeconds: NOW });
  });
});

describe("verifying", () => {
  const setup = () => {
    const { webhookSignature, xSignature } = signatureHeaders([keyOf(FIRST)], "msg_1", NOW, BODY);
    const headers = { id: "msg_1", timestamp: String(NOW), signature: webhookSignature };
    return { headers, xSignature, bytes: [keyOf(FIRST).bytes], texts: [FIRST] };
  };

  test("takes what was signed, with any one of several keys, whatever the body", () => {
    fc.assert(
      fc.property(keys, keys, uids, bodies, (fresh, old, id, body) => {
        const signed = signatureHeaders([fresh, old], id, NOW, body);
        const headers = { id, timestamp: String(NOW), signature: signed.webhookSignature };
        for (const key of [fresh, old]) {
          expect(verifyStandard([key.bytes], headers, body, NOW).ok).toBe(true);
          expect(verifyLegacy([key.text], signed.xSignature, body, NOW).ok).toBe(true);
        }
      }),
    );
  });

  test("refuses a changed id, time, body or key", () => {
    const { headers, xSignature, bytes, texts } = setup();
    const noMatch = { ok: false, reason: "no_match" };
    const changed = Buffer.concat([BODY, Buffer.from(" ")]);
    expect(verifyStandard(bytes, { ...headers, id: "msg_2" }, BODY, NOW)).toEqual(noMatch);
    expect(verifyStandard(bytes, { ...headers, timestamp: String(NOW + 1) }, BODY, NOW)).toEqual(noMatch);
    expect(verifyStandard(bytes, headers, changed, NOW)).toEqual(noMatch);
    expect(verifyStandard([keyOf(SECOND).bytes], headers, BODY, NOW)).toEqual(noMatch);
    expect(verifyStandard([], headers, BODY, NOW)).toEqual(noMatch);
    expect(verifyLegacy(texts, xSignature.replace(String(NOW), String(NOW + 1)), BODY, NOW)).toEqual(noMatch);
    expect(verifyLegacy(texts, xSignature, changed, NOW)).toEqual(noMatch);
    expect(verifyLegacy([SECOND], xSignature, BODY, NOW)).toEqual(noMatch);
  });

  test("refuses a signature with any one character changed", () => {
    const { headers, xSignature, bytes, texts } = setup();
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom(..."AZaz09+/=é"), (pick, character) => {
        const flip = (text: string, from: number) => {
          const at = from + (pick % (text.length - from));
          return text[at] === character ? null : text.slice(0, at) + character + text.slice(at + 1);
        };
        const signature = flip(headers.signature, 3);
        if (signature !== null)
          expect(verifyStandard(bytes, { ...headers, signature }, BODY, NOW).ok).toBe(false);
        const legacy = flip(xSignature, xSignature.indexOf("v1=") + 3);
        if (legacy !== null) expect(verifyLegacy(texts, legacy, BODY, NOW).ok).toBe(false);
      }),
    );
  });

  test("holds the time against the tolerance, both ways, both ends included", () => {
    const { headers, xSignature, bytes, texts } = setup();
    for (const [now, reason] of [
      [NOW - 301, "timestamp_too_new"],
      [NOW - 300, null],
      [NOW + 300, null],
      [NOW + 301, "timestamp_too_old"],
    ] as const) {
      const expected = reason === null ? { ok: true, timestampSeconds: NOW } : { ok: false, reason };
      expect(verifyStandard(bytes, headers, BODY, now)).toEqual(expected);
      expect(verifyLegacy(texts, xSignature, BODY, now)).toEqual(expected);
    }
    expect(verifyStandard(bytes, headers, BODY, NOW + 11, 10).ok).toBe(false);
    expect(verifyStandard(bytes, headers, BODY, NOW + 1e9, Infinity).ok).toBe(true);
  });

  test("tells missing headers from malformed ones", () => {
    const { headers, bytes, texts } = setup();
    for (const name of ["id", "timestamp", "signature"]) {
      for (const value of [undefined, ""]) {
        const result = verifyStandard(bytes, { ...headers, [name]: value }, BODY, NOW);
        expect(result).toEqual({ ok: false, reason: "missing" });
      }
    }
    expect(verifyLegacy(texts, undefined, BODY, NOW)).toEqual({ ok: false, reason: "missing" });
    for (const timestamp of ["soon", "-1", "1e9", "1.5", `0${NOW}`, ` ${NOW}`, "9".repeat(16)]) {
      const result = verifyStandard(bytes, { ...headers, timestamp }, BODY, NOW);
      expect(result, timestamp).toEqual({ ok: false, reason: "malformed" });
    }
    const noComma = verifyStandard(bytes, { ...headers, signature: "v1" }, BODY, NOW);
    expect(noComma).toEqual({ ok: false, reason: "malformed" });
    for (const header of ["v1", "t=1", "v1=ab", "t=x,v1=ab", `t=${NOW},t=${NOW},v1=ab`, `t=${NOW},v1=ab,,`]) {
      expect(verifyLegacy(texts, header, BODY, NOW), header).toEqual({ ok: false, reason: "malformed" });
    }
  });

  test("passes over versions and names that it does not know", () => {
    const { headers, xSignature, bytes, texts } = setup();
    const signature = `v1a,AAAA v2,AAAA ${headers.signature}`;
    expect(verifyStandard(bytes, { ...headers, signature }, BODY, NOW).ok).toBe(true);
    expect(verifyStandard(bytes, { ...headers, signature: "v1a,AAAA" }, BODY, NOW)).toEqual({
      ok: false,
      reason: "no_match",
    });
    expect(verifyLegacy(texts, xSignature.replace(",v1=", ",v0=00,v1="), BODY, NOW).ok).toBe(true);
    expect(verifyLegacy(texts, xSignature.replace("v1=", "v0="), BODY, NOW).ok).toBe(false);
  });
});
