import { Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import { RequestWriter } from "../../src/sender/request-writer.ts";

/** A socket that holds what it was given until it is told to let go, or takes it at once. */
function socketStub({ isHolding }: { isHolding: boolean }) {
  const held: Buffer[] = [];
  const taken: Buffer[] = [];
  const done: (() => void)[] = [];
  const socket = new Writable({
    write(chunk: Buffer, _encoding, callback) {
      if (isHolding) {
        held.push(chunk);
        done.push(callback);
      } else {
        taken.push(Buffer.from(chunk));
        callback();
      }
    },
  });
  return { socket, held, taken, letGo: () => done.shift()?.() };
}

describe("a request", () => {
  it.each([
    [0, false],
    [9, false],
    [16 * 1_024, false],
    [16 * 1_024 + 1, false],
    [1_000_000, false],
    [9, true],
    [1_000_000, true],
  ])("with a body of %i bytes is written head first, as it is (TLS: %s)", (length, isTls) => {
    const { socket, taken } = socketStub({ isHolding: false });
    const body = Buffer.from(Array.from({ length }, (_, index) => index % 251));
    new RequestWriter().write(socket, isTls, "POST /\xe9\r\n\r\n", body);
    const head = Buffer.from("POST /\xe9\r\n\r\n", "latin1");
    expect(Buffer.concat(taken).equals(Buffer.concat([head, body]))).toBe(true);
    expect(taken.length).toBe(length > 16 * 1_024 ? 2 : 1);
  });

  it("with a head that is larger than any should be is written all the same", () => {
    const { socket, taken } = socketStub({ isHolding: false });
    const head = "x".repeat(300_000);
    new RequestWriter().write(socket, false, head, Buffer.from("body"));
    expect(Buffer.concat(taken).toString()).toBe(`${head}body`);
  });

  it("keeps its bytes while the socket holds them, whatever is written to others", () => {
    const writer = new RequestWriter();
    const slow = socketStub({ isHolding: true });
    const fast = socketStub({ isHolding: false });
    writer.write(slow.socket, false, "first ", Buffer.from("one"));
    for (const isTls of [false, true]) writer.write(fast.socket, isTls, "second ", Buffer.from("two"));
    writer.write(slow.socket, false, "third ", Buffer.from("three"));
    writer.write(fast.socket, false, "fourth ", Buffer.from("four"));
    slow.letGo();
    expect(slow.held.map(String)).toEqual(["first one", "third three"]);
    expect(fast.taken.map(String)).toEqual(["second two", "second two", "fourth four"]);
  });

  it("over TLS has bytes of its own, for TLS may hold them without saying so", () => {
    const writer = new RequestWriter();
    const kept: Buffer[] = [];
    const write = (chunk: Buffer) => kept.push(chunk) > 0;
    const socket = { write, cork() {}, uncork() {}, writableLength: 0 };
    for (const text of ["one", "two"]) writer.write(socket, true, `${text} `, Buffer.from(text));
    expect(kept.map(String)).toEqual(["one one", "two two"]);
  });
});
