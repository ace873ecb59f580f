import type { Writable } from "node:stream";

/**
 * A body up to this is copied behind its head, so that both are one buffer and one write: with 1 KiB, corking
 * and writing both cost 4-6 us more. Larger ones are not worth a buffer that holds them.
 */
const COPIED_BODY_BYTES_MAX = 16 * 1_024;
/** Room for the head in front: 20 own headers of 4 KiB, and hookd's. What does not fit is not copied. */
const BUFFER_BYTES = COPIED_BODY_BYTES_MAX + 96 * 1_024;

/** What of a socket is written to. */
export type RequestSocket = Pick<Writable, "write" | "cork" | "uncork" | "writableLength">;

/**
 * Writes requests, one buffer for all connections of a sender: mostly the kernel takes a request at once, and
 * its bytes are free again when `write` returns. To make a buffer for each cost 1-2 us of an attempt, in the
 * collector too. When the socket still holds the bytes, they are its own and the next request gets new ones.
 */
export class RequestWriter {
  #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);

  /** `head`: no character above 0xff. With TLS nothing is shared, for it may hold bytes and not say so. */
  write(socket: RequestSocket, isTls: boolean, head: string, body: Uint8Array): void {
    const length = head.length + body.length;
    if (body.length > COPIED_BODY_BYTES_MAX || length > BUFFER_BYTES) {
      socket.cork();
      socket.write(head, "latin1");
      socket.write(body);
      socket.uncork();
      return;
    }
    const buffer = isTls ? Buffer.allocUnsafe(length) : this.#buffer;
    buffer.write(head, 0, "latin1");
    buffer.set(body, head.length);
    socket.write(isTls ? buffer : buffer.subarray(0, length));
    if (!isTls && socket.writableLength > 0) this.#buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  }
}
