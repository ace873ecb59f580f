import type { FastifyRequest } from "fastify";
import { Problem } from "../domain/problem.ts";

/**
 * Of all bodies that are being read: what a few dozen of the largest batches announce. Without it each of 20,000 connections
 * could hold a batch's worth. While the pieces of a body are put together it is in memory twice.
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
  enter(request: FastifyRequest): Problem | undefined {
    const bytes = announcedBytes(request);
    // Nothing comes any more of one whose client left while its key was looked up: nothing would give it back either.
    if (bytes === 0 || request.raw.destroyed) return undefined;
    if (!this.take(bytes)) {
      return new Problem("overloaded", "as many bodies are being read as may: try again in a moment");
    }
    request.bodyRoom = bytes;
    request.raw.once("close", () => this.leave(request));
    return undefined;
  }

  leave(request: FastifyRequest): void {
    this.give(request.bodyRoom);
    request.bodyRoom = 0;
  }
}

/** As much as it can be: a body that comes in chunks does not say. One that is too long is not read at all. */
function announcedBytes({ headers, routeOptions }: FastifyRequest): number {
  const { bodyLimit = 0 } = routeOptions;
  if (headers["transfer-encoding"] !== undefined) return bodyLimit;
  const bytes = Number(headers["content-length"] ?? 0);
  return bytes > bodyLimit ? 0 : bytes;
}
