import type { Socket } from "node:net";

/** What one read takes at most, as in Node. */
const READ_BYTES = 65_536;
/** One for all connections: each read is over before the next begins. */
const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES);

export interface SharedReads {
  /** From now on what comes goes into the socket's stream, as with any other. */
  toStream(): void;
}

/**
 * `onBytes` gets what a server's socket receives, in a buffer that is used again once it returns. For each read of a stream,
 * Node takes 64 KiB, gives most of them back, and makes three objects: a tenth of what the API's thread does with an event.
 * It has `onread` for sockets that connect, and nothing for those that a server takes: this sets the fields that `onread`
 * sets. Null, with nothing changed, in a Node that keeps them elsewhere: streams tell the same, at that price.
 */
export function shareReads(socket: Socket, onBytes: (bytes: Buffer) => void): SharedReads | null {
  const { _handle: handle } = socket as Socket & { _handle?: { readonly useUserBuffer?: unknown } };
  const useBuffer = handle?.useUserBuffer;
  const fields = Object.getOwnPropertySymbols(socket);
  const field = (name: string) => fields.find(({ description }) => description === name);
  const buffer = field("kBuffer");
  const callback = field("kBufferCb");
  if (buffer === undefined || callback === undefined || typeof useBuffer !== "function") return null;
  const tell = (take: (bytes: Buffer) => unknown) =>
    Reflect.set(socket, callback, (length: number) => take(readBuffer.subarray(0, length)));
  Reflect.set(socket, buffer, readBuffer);
  tell(onBytes);
  Reflect.apply(useBuffer, handle, [readBuffer]);
  // False stops reading until the stream asks for more.
  return { toStream: () => void tell((bytes) => socket.push(Buffer.from(bytes))) };
}
