/**
 * The far side of netns.test.ts: a receiver that looks public, a name server, and canaries on addresses that
 * no callback may reach. Prints `ready`, then a line for each connection to a canary and each request to the
 * receiver.
 *
 *   node netns-receiver.ts <public address> <port> <canary address>...
 */
import { createServer } from "node:net";
import { startDnsServer } from "../support/dns-server.ts";

const [publicAddress = "", portText = "", ...canaries] = process.argv.slice(2);
const port = Number(portText);
const say = (line: string): void => void process.stdout.write(`${line}\n`);

const receiver = createServer((socket) => {
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    const text = chunk.toString("latin1");
    say(`request ${/\r\nhost: (\S+)/.exec(text)?.[1]}`);
    const location = text.startsWith("POST /redirect") ? `http://169.254.169.254:${port}/` : null;
    const head = location === null ? "200 OK" : `307 X\r\nlocation: ${location}`;
    socket.end(`HTTP/1.1 ${head}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
  });
});
await new Promise<void>((resolve) => receiver.listen(port, publicAddress, resolve));
for (const address of canaries) {
  const canary = createServer((socket) => {
    say(`canary ${address}`);
    socket.destroy();
  });
  await new Promise<void>((resolve) => canary.listen(port, address, resolve));
}
await startDnsServer(
  ({ name, type, count }) => {
    if (type !== "A") return [];
    if (name === "public.test") return [{ type, data: publicAddress }];
    if (name === "mixed.test") return [publicAddress, "169.254.169.254"].map((data) => ({ type, data }));
    if (name === "rebinding.test")
      return [{ type, data: count % 2 === 1 ? publicAddress : "10.77.0.1", ttl: 0 }];
    return name.startsWith("canary")
      ? [{ type, data: canaries[Number(name.slice(6, 7))] ?? "" }]
      : "nxdomain";
  },
  { host: publicAddress, port: 53 },
);
say("ready");
