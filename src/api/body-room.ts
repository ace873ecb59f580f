import type { FastifyReply, FastifyRequest } from "fastify";
import { Problem } from "../domain/problem.ts";

/**
 * Of all bodies that are being read. A connection may send 4 MiB, as slowly as it likes, and there may be 20,000 of them.
 */
const BODIES_BYTES_MAX = 256 * 1_024 * 1_024;

declare module "fastify" {
  interface FastifyRequest {
    /** Room that its body has while it is read. */
    bodyRoom: number;
  }
}

/** Room for bodies from their heads on until they are read. What has been read is bounded by whoever it is handed to. */
export class BodyRoom {
  readonly #bytesMax: number;
  #bytes = 0;

  constructor(bytesMax = BODIES_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  /** False: there is none now. One body alone always has room. */
  take(bytes: number): boolean {
    if (this.#bytes > 0 && this.#bytes + bytes > this.#bytesMax) return false;
    this.#bytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
  }

  /** Takes it for a request whose body comes next, until `leave`, or until its connection is closed. */
  enter(request: FastifyRequest, { raw: response }: FastifyReply): Problem | undefined {
    const bytes = announcedBytes(request);
    if (bytes === 0) return undefined;
    if (!this.take(bytes)) {
      return new Problem("overloaded", "as many bodies are being read as may: try again in a moment");
    }
    request.bodyRoom = bytes;
    response.once("close", () => this.leave(request));
    return undefined;
  }

  leave(request: FastifyRequest): void {
    this.give(request.bodyRoom);
    request.bodyRoom = 0;
  }
}

/** As much as it can be: a length beyond the limit is refused, and a body that comes in chunks does not say. */
function announcedBytes({ headers, routeOptions }: FastifyRequest): number {
  const { bodyLimit = 0 } = routeOptions;
  if (headers["transfer-encoding"] !== undefined) return bodyLimit;
  return Math.min(Number(headers["content-length"] ?? 0), bodyLimit);
}
