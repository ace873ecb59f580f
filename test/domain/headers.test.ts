import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkHeaders, HEADER_VALUE_BYTES_MAX, HEADERS_MAX, RESERVED } from "../../src/domain/headers.ts";

const mixedCase = (name: string) => [...name].map((c, i) => (i % 2 === 0 ? c.toUpperCase() : c)).join("");

describe("a webhook's own headers", () => {
  it("come back in order, with lower-case names and unchanged values", () => {
    const record = { Authorization: "Bearer x\ty", "X-Tenant": "", accept: "a b" };
    expect(checkHeaders(record)).toEqual({
      ok: true,
      headers: [
        ["authorization", "Bearer x\ty"],
        ["x-tenant", ""],
        ["accept", "a b"],
      ],
    });
    expect(checkHeaders({})).toEqual({ ok: true, headers: [] });
  });

  it.each(RESERVED.flatMap((entry) => (entry.endsWith("-") ? [`${entry}anything`, entry] : [entry])))(
    "must not be %s, in any case",
    (name) => {
      for (const spelling of [name, name.toUpperCase(), mixedCase(name)]) {
        expect(checkHeaders({ [spelling]: "x" })).toMatchObject({
          ok: false,
          header: spelling,
          why: "its name is reserved",
        });
      }
    },
  );

  it.each([
    "webhook-id",
    "webhook-signature",
    "hookd-attempt",
    "proxy-authorization",
    "x-signature",
    "host",
    "Content-Length",
  ])("%s is reserved", (name) => {
    expect(checkHeaders({ [name]: "x" }).ok).toBe(false);
  });

  it.each(["", "a b", "a:b", "a\r\nb", "a\0", "ä", "a\u2028", "(a)", "a,b", "a/b", "x".repeat(129)])(
    "must not be named %j",
    (name) => {
      expect(checkHeaders({ [name]: "x" }).ok).toBe(false);
    },
  );

  it.each([
    "a\r\nb: c",
    "a\nb",
    "a\rb",
    "a\0b",
    "a\u0085b",
    "a\u2028b",
    "café",
    "a\x7f",
    " a",
    "a ",
    "\ta",
    "a\t",
    "x".repeat(HEADER_VALUE_BYTES_MAX + 1),
  ])("must not have the value %j", (value) => {
    const verdict = checkHeaders({ good: "x", bad: value });
    expect(verdict).toMatchObject({ ok: false, header: "bad" });
  });

  it("must not be there twice in different case", () => {
    expect(checkHeaders({ "X-A": "1", "x-a": "2" })).toMatchObject({
      ok: false,
      header: "x-a",
      why: "it is there twice",
    });
  });

  it("must be strings", () => {
    for (const value of [1, null, ["a"], { toString: () => "a" }]) {
      expect(checkHeaders({ a: value } as unknown as Record<string, string>).ok).toBe(false);
    }
  });

  it("are at most 20", () => {
    const many = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-${i}`, "v"]));
    expect(checkHeaders(many(HEADERS_MAX)).ok).toBe(true);
    expect(checkHeaders(many(HEADERS_MAX + 1))).toMatchObject({ ok: false, header: null });
  });

  it("treat prototype keys as names like others", () => {
    expect(checkHeaders(JSON.parse('{"__proto__": "x", "constructor": "y"}'))).toEqual({
      ok: true,
      headers: [
        ["__proto__", "x"],
        ["constructor", "y"],
      ],
    });
  });

  it("never put a value into a refusal", () => {
    expect(JSON.stringify(checkHeaders({ a: "hunter2\n" }))).not.toContain("hunter2");
  });

  it("when accepted, can be written on the wire without becoming another line", () => {
    const name = fc.oneof(
      fc.string({ maxLength: 12, unit: "binary" }),
      fc.constantFrom("x-a", "Webhook-Id", "a\r\nb"),
    );
    const value = fc.oneof(fc.string({ unit: "binary" }), fc.string());
    fc.assert(
      fc.property(fc.dictionary(name, value, { maxKeys: 4 }), (record) => {
        const verdict = checkHeaders(record);
        if (!verdict.ok) return;
        for (const [field, text] of verdict.headers) {
          expect(`${field}: ${text}`).toMatch(/^[!-9;-~]+: (?:[!-~](?:[\t -~]*[!-~])?)?$/);
          expect(field).toBe(field.toLowerCase());
        }
      }),
      { numRuns: 3_000 },
    );
  });
});
