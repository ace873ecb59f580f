/** One stream of events, from its first sequence number on. What a publisher thread is told. */
export interface Load {
  readonly id: number;
  readonly baseSeq: number;
  /** Events at most. */
  readonly count: number;
  /** Events a second, open loop; null: closed loop, the next event as soon as a connection is free. */
  readonly ratePerSecond: number | null;
  readonly startMono: number;
  /** Nothing is sent from then on, whatever is still due. */
  readonly endMono: number;
  /** Webhooks that it goes to, in turn or scattered. */
  readonly target: Target;
  readonly payloadBytes: number;
  /** Events of a request: 1 is the publish route, more the batch route. */
  readonly batch: number;
  /** Over all threads that publish it. */
  readonly connections: number;
  readonly host: string;
  readonly port: number;
  readonly key: string;
  readonly owners: Owners;
  /** False: of a calibration; the ledger knows nothing of it. */
  readonly isLedgered: boolean;
}

export interface Target {
  readonly first: number;
  readonly count: number;
  readonly isScattered: boolean;
}

/** The webhook of a load's n-th event. Every thread works it out alike, so that nobody has to remember it. */
export function targetOf({ first, count, isScattered }: Target, index: number): number {
  if (!isScattered) return first + (index % count);
  // Knuth's multiplicative hash: visits all, in no order that a cache could like.
  return first + ((Math.imul(index, 2_654_435_761) >>> 0) % count);
}

/** When a load's n-th event is due. A batch is due with the last event of it, and all of its events then. */
export function dueMono(load: Pick<Load, "startMono" | "ratePerSecond" | "batch">, index: number): number {
  const { startMono, ratePerSecond, batch } = load;
  if (ratePerSecond === null) return startMono;
  const last = batch === 1 ? index : Math.floor(index / batch) * batch + batch - 1;
  return startMono + (last / ratePerSecond) * 1_000;
}

/** Every second event carries a uid of its publisher's, the others get hookd's own. */
export function hasOwnUid(seq: number): boolean {
  return seq % 2 === 0;
}

/** Whom the webhooks belong to: so many each, user after user, and round again. */
export interface Owners {
  readonly users: number;
  readonly webhooksEach: number;
}

export function userOf(webhook: number, { users, webhooksEach }: Owners): number {
  return Math.floor(webhook / webhooksEach) % users;
}
