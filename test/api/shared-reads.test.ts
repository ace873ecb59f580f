import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { PassThrough } from "node:stream";
import { expect, onTestFinished, test } from "vitest";
import { shareReads } from "../../src/api/shared-reads.ts";

/** A socket as a server takes it, and its other end. */
async function pair(onTaken: (socket: Socket) => void = () => {}) {
  const server = createServer({ allowHalfOpen: false }, onTaken);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address() as { port: number };
  const taken = once(server, "connection");
  const client = connect(address.port, "127.0.0.1");
  const [socket] = (await taken) as [Socket];
  onTestFinished(() => {
    client.destroy();
    socket.destroy();
    server.close();
  });
  return { socket, client };
}

const MESSAGE = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 251));

test("this Node has what the short way reads with, and all bytes come through one buffer, in order", async () => {
  const chunks: Buffer[] = [];
  const memories = new Set<ArrayBufferLike>();
  const { promise: isWhole, resolve } = Promise.withResolvers<void>();
  let length = 0;
  const { client } = await pair((socket) => {
    const reads = shareReads(socket, (bytes) => {
      memories.add(bytes.buffer);
      chunks.push(Buffer.from(bytes));
      length += bytes.length;
      if (length === MESSAGE.length) resolve();
    });
    expect(reads).not.toBeNull();
  });
  client.write(MESSAGE);
  await isWhole;
  expect(Buffer.concat(chunks).equals(MESSAGE)).toBe(true);
  expect(memories.size).toBe(1);
});

test("the end of a connection is told as ever", async () => {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const { client } = await pair((socket) => {
    shareReads(socket, () => {});
    socket.on("end", resolve);
  });
  client.end("last words");
  await ended;
});

test("what is paused is not read, until it is resumed", async () => {
  let length = 0;
  const { promise: isWhole, resolve } = Promise.withResolvers<void>();
  const { socket, client } = await pair((taken) => {
    shareReads(taken, (bytes) => {
      length += bytes.length;
      if (length === 5) resolve();
    });
    taken.pause();
  });
  await new Promise<void>((done) => client.write("hello", () => done()));
  // The bytes are there: a connection made after them was taken.
  await pair();
  expect(length).toBe(0);
  socket.resume();
  await isWhole;
});

test("given to the stream, all that comes can be read there, also by who reads slowly", async () => {
  const { socket, client } = await pair((taken) => shareReads(taken, () => {})?.toStream());
  client.end(MESSAGE);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk);
  expect(Buffer.concat(chunks).equals(MESSAGE)).toBe(true);
});

test("a socket without these fields is left alone", () => {
  const other = new PassThrough();
  const before = Reflect.ownKeys(other);
  expect(shareReads(other as unknown as Socket, () => {})).toBeNull();
  expect(Reflect.ownKeys(other)).toEqual(before);
});
