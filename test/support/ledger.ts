/**
 * What is known outside of the daemon: which events were attempted, which were acknowledged (202), and which copies
 * came to which receiver. After Jepsen's queue checker (jepsen-io/nats, src/jepsen/nats/queue.clj).
 */
export interface Copy {
  readonly uid: string;
  readonly webhook: string;
  /** As the `hookd-attempt` header says. */
  readonly attempt: number;
  readonly atMono: number;
  /** It was answered with a 2xx. */
  readonly isAccepted: boolean;
}

/** A copy that came after one that was accepted. */
export interface Duplicate {
  readonly uid: string;
  readonly webhook: string;
  readonly atMono: number;
  /** When the last accepted copy before it came. */
  readonly earlierAtMono: number;
}

/** From the signal to the moment when the receivers had read all that the process had sent. */
export interface Kill {
  readonly atMono: number;
  readonly endMono: number;
}

export interface Report {
  readonly attempted: number;
  readonly acknowledged: number;
  /** Different events that a receiver accepted. */
  readonly received: number;
  /** Requests that receivers got, failed attempts and second copies among them. */
  readonly copies: number;
  /** Acknowledged, and not accepted by the webhook it is for. */
  readonly lost: readonly string[];
  /** Came to a webhook that nobody had published it to. */
  readonly unexpected: readonly string[];
  /** Accepted by its receiver although the publisher never saw a 202. */
  readonly recovered: readonly string[];
  readonly duplicates: readonly Duplicate[];
}

interface Entry {
  isAttempted: boolean;
  isAcknowledged: boolean;
  acceptedAtMono: number | null;
  copies: number;
}

export class Ledger {
  /** By uid and webhook: an event at a receiver that it is not for is not that event. */
  readonly #entries = new Map<string, Entry>();
  readonly #duplicates: Duplicate[] = [];
  #open = 0;

  /** Events that were acknowledged and have not come. */
  get openCount(): number {
    return this.#open;
  }

  attempted(uid: string, webhook: string): void {
    this.#entry(uid, webhook).isAttempted = true;
  }

  acknowledged(uid: string, webhook: string): void {
    const entry = this.#entry(uid, webhook);
    if (entry.isAcknowledged) return;
    entry.isAcknowledged = true;
    if (entry.acceptedAtMono === null) this.#open += 1;
  }

  received({ uid, webhook, atMono, isAccepted }: Copy): void {
    const entry = this.#entry(uid, webhook);
    entry.copies += 1;
    if (entry.acceptedAtMono !== null) {
      this.#duplicates.push({ uid, webhook, atMono, earlierAtMono: entry.acceptedAtMono });
    }
    if (!isAccepted) return;
    if (entry.acceptedAtMono === null && entry.isAcknowledged) this.#open -= 1;
    entry.acceptedAtMono = atMono;
  }

  /** When the webhook's receiver last accepted it; null: never. */
  acceptedAt(uid: string, webhook: string): number | null {
    return this.#entries.get(nameOf(uid, webhook))?.acceptedAtMono ?? null;
  }

  report(): Report {
    const entries = [...this.#entries];
    const namesOf = (filter: (entry: Entry) => boolean) =>
      entries.filter(([, entry]) => filter(entry)).map(([name]) => name);
    const countOf = (filter: (entry: Entry) => boolean) =>
      entries.filter(([, entry]) => filter(entry)).length;
    return {
      attempted: countOf((entry) => entry.isAttempted),
      acknowledged: countOf((entry) => entry.isAcknowledged),
      received: countOf((entry) => entry.acceptedAtMono !== null),
      copies: entries.reduce((sum, [, entry]) => sum + entry.copies, 0),
      lost: namesOf((entry) => entry.isAcknowledged && entry.acceptedAtMono === null),
      unexpected: namesOf((entry) => entry.copies > 0 && !entry.isAttempted),
      recovered: namesOf((entry) => entry.acceptedAtMono !== null && !entry.isAcknowledged),
      duplicates: this.#duplicates,
    };
  }

  #entry(uid: string, webhook: string): Entry {
    const name = nameOf(uid, webhook);
    let entry = this.#entries.get(name);
    if (!entry) {
      entry = { isAttempted: false, isAcknowledged: false, acceptedAtMono: null, copies: 0 };
      this.#entries.set(name, entry);
    }
    return entry;
  }
}

/** Duplicates that no kill explains: their earlier copy did not come within `withinMs` before one, or they came before it. */
export function unexplained(
  duplicates: readonly Duplicate[],
  kills: readonly Kill[],
  withinMs: number,
): Duplicate[] {
  return duplicates.filter(
    (duplicate) =>
      !kills.some(
        (kill) =>
          duplicate.earlierAtMono > kill.atMono - withinMs &&
          duplicate.earlierAtMono <= kill.endMono &&
          duplicate.atMono >= kill.atMono,
      ),
  );
}

/** How close to its kill the earlier copy of a duplicate came, at the furthest. For the test's output. */
export function oldestOf({ duplicates }: Report, kills: readonly Kill[]): string {
  const agesMs = duplicates.map(({ earlierAtMono }) =>
    Math.min(
      ...kills.filter((kill) => earlierAtMono <= kill.endMono).map((kill) => kill.atMono - earlierAtMono),
    ),
  );
  return agesMs.length === 0
    ? "no duplicates"
    : `earlier copies ${Math.max(...agesMs).toFixed(0)} ms before a kill at most`;
}

/** One line for the test's output. */
export function lineOf({ attempted, acknowledged, received, ...report }: Report): string {
  return (
    `attempted ${attempted}, acknowledged ${acknowledged}, received ${received} (${report.copies} requests), ` +
    `not yet ${report.lost.length}, unexpected ${report.unexpected.length}, ` +
    `recovered ${report.recovered.length}, duplicates ${report.duplicates.length}`
  );
}

function nameOf(uid: string, webhook: string): string {
  return `${uid} ${webhook}`;
}
