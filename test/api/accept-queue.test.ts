import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { setup } from "./world.ts";

/** Node's own is 511. */
const CLIENTS = 1_000;
const ESTABLISHED = "01";

test("clients that all connect in one moment are all let in, as many as the kernel allows", async () => {
  const { api } = await setup();
  const { host, port } = await api.listen();
  const allowed = Number(readFileSync("/proc/sys/net/core/somaxconn", "utf8"));
  const sockets = Array.from({ length: CLIENTS }, () => connect(port, host));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
  });
  // All connect before the event loop turns: nobody is taken yet, and who is connected waits in the kernel.
  await new Promise<void>((resolve) => process.nextTick(resolve));
  const to = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const connected = readFileSync("/proc/self/net/tcp", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , remote = "", state]) => remote.endsWith(to) && state === ESTABLISHED);
  expect(connected.length).toBeGreaterThanOrEqual(Math.min(CLIENTS, allowed));
});
