import type { Db, Plucked, Statement } from "./connection.ts";

export interface Removed {
  readonly id: number;
  readonly webhook: number;
}

/** Deletes ended deliveries with all that belongs to them; an event's own row goes with its last delivery. */
export class Remover {
  readonly #log: Statement;
  readonly #attempts: Statement;
  readonly #journal: Plucked;
  readonly #event: Statement;

  constructor(db: Db) {
    this.#log = db.prepare("delete from log where webhook = ? and id = ?");
    this.#attempts = db.prepare("delete from attempt where delivery = ?");
    this.#journal = db.pluck("delete from journal where id = ? returning event");
    this.#event = db.prepare(
      `delete from journal where id = ? and webhook = 0 and not exists (select 1 from journal d where d.event = ?)
       and not exists (select 1 from job where is_running = 1 and json_extract(body, '$.job.spec.event') = ?)`,
    );
  }

  /** Inside the caller's transaction. Sorted by webhook first, so that the log's pages are touched once each. */
  remove(ended: readonly Removed[]): void {
    const sorted = [...ended].sort((a, b) => a.webhook - b.webhook || a.id - b.id);
    for (const { id, webhook } of sorted) this.#log.run(webhook, id);
    sorted.sort((a, b) => a.id - b.id);
    for (const { id } of sorted) {
      this.#attempts.run(id);
      this.removeFromJournal(id);
    }
  }

  /** A delivery that the log has no more. How many rows it had. */
  removeFromJournal(id: number): number {
    const event = this.#journal.get(id);
    if (typeof event === "number") this.removeBarren(event);
    return event === undefined ? 0 : 1;
  }

  /** Deletes an event's own row if there is no delivery of it, and none to come. */
  removeBarren(event: number): void {
    this.#event.run(event, event, event);
  }
}
