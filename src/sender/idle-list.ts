import type { Connection } from "./connection.ts";

/**
 * The idle connections in the order in which they became idle, linked through themselves: each attempt takes
 * one out and puts one in, and a `Set` makes itself anew time and again under that.
 */
export class IdleList {
  size = 0;
  oldest: Connection | null = null;
  #newest: Connection | null = null;

  add(connection: Connection): void {
    connection.isIdle = true;
    connection.idleBefore = this.#newest;
    if (this.#newest === null) this.oldest = connection;
    else this.#newest.idleAfter = connection;
    this.#newest = connection;
    this.size += 1;
  }

  /** Does nothing for one that is not idle. */
  remove(connection: Connection): void {
    if (!connection.isIdle) return;
    const { idleBefore, idleAfter } = connection;
    if (idleBefore === null) this.oldest = idleAfter;
    else idleBefore.idleAfter = idleAfter;
    if (idleAfter === null) this.#newest = idleBefore;
    else idleAfter.idleBefore = idleBefore;
    connection.isIdle = false;
    connection.idleBefore = null;
    connection.idleAfter = null;
    this.size -= 1;
  }
}
