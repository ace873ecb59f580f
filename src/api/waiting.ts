import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { Problem } from "../domain/problem.ts";

/**
 * Requests that may wait on one connection for the answers before theirs. Node parses all that one read brought (64 KiB
 * are 500 requests) and starts them together, and their answers, 100 KB each, wait in memory for a client that may never
 * read: with 20 such connections hookd answered nobody for a minute and held 4 GB.
 */
export const WAITING_MAX = 32;

/** For each request as it comes: a problem where too many wait before it. Costs nothing where none does. */
export function createWaitingLimit(): (socket: Socket, response: ServerResponse) => Problem | undefined {
  const waiting = new WeakMap<Socket, number>();
  return (socket, response) => {
    // The first in line has been given the socket.
    if (response.socket !== null) return undefined;
    const count = (waiting.get(socket) ?? 0) + 1;
    waiting.set(socket, count);
    response.once("close", () => waiting.set(socket, (waiting.get(socket) ?? 1) - 1));
    if (count <= WAITING_MAX) return undefined;
    return new Problem(
      "overloaded",
      `${WAITING_MAX} requests wait on this connection, which is the most; read the answers before asking more`,
    );
  };
}
