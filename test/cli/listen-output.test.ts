import { describe, expect, it } from "vitest";
import { printReceived } from "../../src/cli/listen/output.ts";
import { prettyJson } from "../../src/cli/listen/pretty-json.ts";
import type { ReceivedDelivery } from "../../src/cli/listen/receiver.ts";
import { fakeTerminal } from "./support.ts";

function deliveryOf(change: Partial<ReceivedDelivery> = {}): ReceivedDelivery {
  return {
    at: Date.UTC(2026, 10, 22, 8),
    eventUid: "evt_1",
    eventId: "user.created",
    webhookId: "wh_1",
    attempt: "1",
    verdict: { kind: "verified" },
    status: 200,
    forwardError: null,
    isGone: false,
    contentType: "application/json",
    body: Buffer.from('{"id": 1.0}'),
    ...change,
  };
}

function printed(
  delivery: ReceivedDelivery,
  options: { isTable?: boolean; isJson?: boolean } = {},
): string[] {
  const { terminal, out } = fakeTerminal({ isTable: options.isTable ?? true });
  printReceived(terminal, delivery, options.isJson ?? false);
  return out;
}

describe("what listen prints", () => {
  it("has the body below on a terminal, indented, every value as it was written", () => {
    const body = Buffer.from('{"id": 1.0, "n":12345678901234567890,"tags":["a",{}],"none":[]}');
    expect(printed(deliveryOf({ body }))).toEqual([
      "08:00:00.000Z  200  user.created  evt_1  attempt 1  verified",
      "  {",
      '    "id": 1.0,',
      '    "n": 12345678901234567890,',
      '    "tags": [',
      '      "a",',
      "      {}",
      "    ],",
      '    "none": []',
      "  }",
    ]);
  });

  it("is inert on a terminal, whatever the body holds", () => {
    const body = Buffer.from('{"a":"\\u001b[2J"}\u001b]0;title\u0007\nsecond\u202e line');
    const text = printed(deliveryOf({ body, eventId: "a\u001b[31m" })).join("\n");
    expect(text).toContain("\\x1b]0;title\\x07");
    expect(text).toContain("  second\\u202e line");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what must not be there
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  });

  it("says of what is no text how much there is, and of a long one how much is not shown", () => {
    const bytes = Buffer.from([0xff, 0xfe, 0x00]);
    expect(printed(deliveryOf({ body: bytes, contentType: "image/png" }))[1]).toBe("  (3 bytes, image/png)");
    expect(printed(deliveryOf({ body: Buffer.alloc(0) }))).toHaveLength(1);
    const long = printed(deliveryOf({ body: Buffer.from("line\n".repeat(150)) }));
    expect(long).toHaveLength(102);
    expect(long.at(-1)).toBe("  (50 more lines; --json has them all)");
    const wide = printed(deliveryOf({ body: Buffer.from("x".repeat(5_000)) }));
    expect(wide[1]).toHaveLength(2 + 2_000 + 3);
  });

  it("is one line in a pipe, cut at 200 characters", () => {
    const body = Buffer.from(`{"a":\n"${"x".repeat(300)}"}`);
    const [line = "", ...more] = printed(deliveryOf({ body }), { isTable: false });
    expect(more).toEqual([]);
    expect(line.split("\t").slice(1, 7)).toEqual([
      "200",
      "user.created",
      "evt_1",
      "wh_1",
      "attempt 1",
      "verified",
    ]);
    expect(line).toMatch(/\{"a":\\n"x+\.\.\.$/);
  });

  it("tells why it was not forwarded, and that the sender has gone", () => {
    const delivery = deliveryOf({ status: 502, forwardError: "ECONNREFUSED", isGone: true });
    expect(printed(delivery)[0]).toContain("502");
    expect(printed(delivery)[0]).toContain("not forwarded: ECONNREFUSED  the sender hung up");
    const [json = ""] = printed(delivery, { isJson: true });
    expect(JSON.parse(json)).toMatchObject({ status: 502, forward_error: "ECONNREFUSED", sender_gone: true });
  });
});

describe("indenting JSON", () => {
  it("changes nothing but white space", () => {
    for (const text of [
      "1.0",
      '"a: [b, {c}] \\" \\\\"',
      "[]",
      " [ ] ",
      '{"a":[[],[1,[2]],{"b":{}}],"c":"\\u2028,"}',
      "[-1.5e+10,true,false,null]",
    ]) {
      const pretty = prettyJson(text) ?? "";
      expect(JSON.parse(pretty)).toEqual(JSON.parse(text));
      expect(pretty.replaceAll(/\s/g, "")).toBe(text.replaceAll(/\s/g, ""));
    }
  });

  it("agrees with JSON.stringify where that loses nothing", () => {
    const value = { a: [1, [2, {}], [], { b: "c" }], d: null };
    expect(prettyJson(JSON.stringify(value))).toBe(JSON.stringify(value, null, 2));
  });

  it("gives up on what is no JSON, or nested beyond reading", () => {
    expect(prettyJson("{a}")).toBeNull();
    expect(prettyJson("")).toBeNull();
    expect(prettyJson(`${"[".repeat(100_000)}${"]".repeat(100_000)}`)).toBeNull();
  });
});
