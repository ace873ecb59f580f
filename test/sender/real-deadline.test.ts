import type { Socket } from "node:net";
import { expect, test } from "vitest";
import { receiver, setup } from "./setup.ts";

/** Times are asserted in the gates only: elsewhere the machine may be busy. */
const IS_GATES = (process.env.HOOKD_GATES ?? "") !== "";
const TIMEOUT_MS = 1_000;
const LATE_MS_MAX = 250;
const AT_ONCE = IS_GATES ? 40 : 4;

/** Sends a piece every so often until the socket closes. */
function every(ms: number, socket: Socket, first: string, piece: string): void {
  socket.write(first);
  const timer = setInterval(() => socket.write(piece), ms);
  socket.once("close", () => clearInterval(timer));
}

const ENDLESS: readonly (readonly [name: string, answer: (socket: Socket) => void])[] = [
  ["never answers", () => {}],
  ["drips header bytes", (socket) => every(50, socket, "HTTP/1.1 200 OK\r\n", "x")],
  ["drips header lines", (socket) => every(50, socket, "HTTP/1.1 200 OK\r\n", "x: y\r\n")],
  ["drips 103 answers", (socket) => every(50, socket, "", "HTTP/1.1 103 Early Hints\r\n\r\n")],
  ["drips a body", (socket) => every(50, socket, "HTTP/1.1 500 X\r\ncontent-length: 9999\r\n\r\n", "x")],
  [
    "drips a success's body",
    (socket) => every(50, socket, "HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n", "x"),
  ],
  [
    "drips chunk extensions",
    (socket) => every(50, socket, "HTTP/1.1 500 X\r\ntransfer-encoding: chunked\r\n\r\n1;", "x"),
  ],
];

test.each(ENDLESS)("a receiver that %s is left at the deadline, in real time", async (_name, answer) => {
  const world = setup({ clock: { now: () => Date.now(), mono: () => performance.now() } });
  const { port } = await receiver(answer);
  world.target(`http://127.0.0.1:${port}/`, { timeoutMs: TIMEOUT_MS });
  const begun = performance.now();
  const outcomes = await Promise.all(Array.from({ length: AT_ONCE }, () => world.order()));
  const elapsedMs = performance.now() - begun;
  for (const { attempt } of outcomes) {
    expect(attempt.durationMs).toBeGreaterThanOrEqual(TIMEOUT_MS - 1);
    expect(attempt.verdict === "success" || attempt.error === "timeout").toBe(true);
  }
  if (IS_GATES) expect(elapsedMs).toBeLessThanOrEqual(TIMEOUT_MS + LATE_MS_MAX);
});
