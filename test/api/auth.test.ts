import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { checkScope, createAuthenticator } from "../../src/api/auth.ts";
import type { KeyId } from "../../src/domain/ids.ts";
import type { ApiKey } from "../../src/domain/key.ts";
import { isKeyText, makeKey } from "../../src/domain/key-text.ts";

function setup() {
  const time = { now: 1_800_000_000_000, mono: 1_000 };
  const keys = new Map<string, ApiKey>();
  const calls = { findKey: 0 };
  const clock = { now: () => time.now, mono: () => time.mono };
  const engine = {
    async findKey(hash: Uint8Array) {
      calls.findKey += 1;
      return keys.get(Buffer.from(hash).toString("hex")) ?? null;
    },
  };
  const auth = createAuthenticator(engine, clock);
  let count = 0;
  function add(fields: Partial<ApiKey> = {}) {
    const { text, hash } = makeKey(randomBytes);
    count += 1;
    const key: ApiKey = {
      id: count as KeyId,
      userId: "acme",
      scopes: ["publish"],
      name: null,
      hash,
      createdAt: time.now,
      expiresAt: null,
      ...fields,
    };
    const name = Buffer.from(hash).toString("hex");
    keys.set(name, key);
    return { key, header: `Bearer ${text}`, remove: () => keys.delete(name) };
  }
  return { time, calls, auth, add };
}

const wrong = () => `Bearer ${makeKey(randomBytes).text}`;
const unauthorized = { code: "unauthorized" };

describe("a key's text", () => {
  test("is hk_ and 190 bits, and no two are alike", () => {
    const texts = Array.from({ length: 200 }, () => makeKey(randomBytes).text);
    for (const text of texts) expect(text).toMatch(/^hk_[0-9A-Za-z]{32}$/);
    expect(new Set(texts).size).toBe(texts.length);
    expect(texts.every(isKeyText)).toBe(true);
  });
});

describe("authentication", () => {
  test("finds a key, and then knows it for half a second without asking the store", async () => {
    const { auth, add, calls, time } = setup();
    const { key, header } = add();
    expect(auth.known(header)).toBeNull();
    expect(await auth.authenticate(header, "1.2.3.4")).toBe(key);
    time.mono += 400;
    expect(auth.known(header)).toBe(key);
    expect(calls.findKey).toBe(1);
  });

  test("asks the store once for many calls at the same time", async () => {
    const { auth, add, calls } = setup();
    const { header } = add();
    await Promise.all(Array.from({ length: 50 }, () => auth.authenticate(header, "1.2.3.4")));
    expect(calls.findKey).toBe(1);
  });

  test("a key in steady use is looked up again behind an answer", async () => {
    const { auth, add, calls, time } = setup();
    const { header } = add();
    await auth.authenticate(header, "1.2.3.4");
    for (let step = 0; step < 5; step += 1) {
      time.mono += 600;
      expect(auth.known(header)).not.toBeNull();
      await new Promise(setImmediate);
    }
    expect(calls.findKey).toBe(6);
  });

  test("a key deleted elsewhere is refused within a second", async () => {
    const { auth, add, time } = setup();
    const { header, remove } = add();
    await auth.authenticate(header, "1.2.3.4");
    remove();
    time.mono += 1_000;
    expect(auth.known(header)).toBeNull();
    await expect(auth.authenticate(header, "1.2.3.4")).rejects.toMatchObject(unauthorized);
  });

  test("a key deleted here is refused at once, even if it was being looked up", async () => {
    const { auth, add } = setup();
    const { key, header, remove } = add();
    const lookup = auth.authenticate(header, "1.2.3.4");
    remove();
    auth.forget(key.id);
    await lookup;
    expect(auth.known(header)).toBeNull();
    await expect(auth.authenticate(header, "1.2.3.4")).rejects.toMatchObject(unauthorized);
  });

  test("a key that has expired is refused, also while it is known", async () => {
    const { auth, add, time } = setup();
    const { header } = add({ expiresAt: time.now + 100 });
    await auth.authenticate(header, "1.2.3.4");
    time.now += 100;
    expect(auth.known(header)).toBeNull();
    await expect(auth.authenticate(header, "1.2.3.4")).rejects.toMatchObject(unauthorized);
  });

  test.each([undefined, "", "Bearer", "Basic abc", "Bearer nonsense", "hk_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"])(
    "the header %j is refused without asking the store",
    async (header) => {
      const { auth, calls } = setup();
      await expect(auth.authenticate(header, "1.2.3.4")).rejects.toMatchObject(unauthorized);
      expect(calls.findKey).toBe(0);
    },
  );

  test("who guesses keys is told to wait, by address, and a good key goes on", async () => {
    const { auth, add, time } = setup();
    const { header } = add();
    await auth.authenticate(header, "1.2.3.4");
    for (let guess = 0; guess < 20; guess += 1) {
      await expect(auth.authenticate(wrong(), "1.2.3.4")).rejects.toMatchObject(unauthorized);
    }
    await expect(auth.authenticate(wrong(), "1.2.3.4")).rejects.toMatchObject({
      code: "too_many_failures",
      retryAfterSeconds: 5,
    });
    time.mono += 2_000;
    await auth.authenticate(header, "1.2.3.4");
    await expect(auth.authenticate(wrong(), "5.6.7.8")).rejects.toMatchObject(unauthorized);
    time.mono += 5_000;
    await expect(auth.authenticate(wrong(), "1.2.3.4")).rejects.toMatchObject(unauthorized);
  });

  test("guesses from an address lock no good key out that shares it, and only some are looked up at a time", async () => {
    const { auth, add, calls } = setup();
    const { header } = add();
    for (let guess = 0; guess < 20; guess += 1)
      await auth.authenticate(wrong(), "127.0.0.1").catch(() => null);
    const before = calls.findKey;
    const guesses = await Promise.allSettled(
      Array.from({ length: 30 }, () => auth.authenticate(wrong(), "127.0.0.1")),
    );
    expect(calls.findKey - before).toBe(8);
    for (const guess of guesses)
      expect(guess).toMatchObject({ status: "rejected", reason: { code: "too_many_failures" } });
    expect(await auth.authenticate(header, "127.0.0.1")).toMatchObject({ userId: "acme" });
    await expect(auth.authenticate("Bearer x", "127.0.0.1")).rejects.toMatchObject({
      code: "too_many_failures",
    });
    expect(calls.findKey - before).toBe(9);
  });

  test("the addresses of one IPv6 network count as one", async () => {
    const { auth } = setup();
    for (let guess = 0; guess < 20; guess += 1) {
      await expect(auth.authenticate(wrong(), `2001:db8:1:2::${guess.toString(16)}`)).rejects.toMatchObject(
        unauthorized,
      );
    }
    await expect(auth.authenticate(wrong(), "2001:db8:1:2:ffff::1")).rejects.toMatchObject({
      code: "too_many_failures",
    });
    await expect(auth.authenticate(wrong(), "2001:db8:1:3::1")).rejects.toMatchObject(unauthorized);
  });
});

test("a key may do what its scopes say, and an admin key everything", () => {
  const { add } = setup();
  expect(() => checkScope(add().key, "publish")).not.toThrow();
  expect(() => checkScope(add().key, "manage")).toThrow(expect.objectContaining({ code: "forbidden" }));
  expect(() => checkScope(add({ userId: null, scopes: [] }).key, "manage")).not.toThrow();
});
