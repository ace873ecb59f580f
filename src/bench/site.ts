/**
 * The receivers' side, webhook by webhook, in memory that the coordinator and the receivers share: what is
 * changed here holds from the next request on.
 */
export interface SiteMemory {
  readonly webhooks: number;
  readonly behaviour: SharedArrayBuffer;
  readonly latency: SharedArrayBuffer;
  readonly requests: SharedArrayBuffer;
  readonly faults: SharedArrayBuffer;
}

/** What a webhook's receiver does: one of these, or the status that it answers with. */
export const BEHAVIOUR = {
  ok: 0,
  /** Reads, and never answers. */
  hang: 1,
  /** Closes the connection at every request. */
  down: 2,
  /** Answers 200 and keeps it from the ledger: shows that a loss is found. */
  swallow: 3,
} as const;

/** What a receiver got and should not have. */
const FAULTS = ["unreadable", "misrouted", "wrongUid", "wrongBytes", "neverOffered"] as const;
export type Fault = (typeof FAULTS)[number];

export function createSiteMemory(webhooks: number): SiteMemory {
  return {
    webhooks,
    behaviour: new SharedArrayBuffer(webhooks * 2),
    latency: new SharedArrayBuffer(webhooks * 2),
    requests: new SharedArrayBuffer(webhooks * 4),
    faults: new SharedArrayBuffer(FAULTS.length * 4),
  };
}

export class Site {
  readonly webhooks: number;
  readonly #behaviour: Uint16Array;
  readonly #latency: Uint16Array;
  readonly #requests: Uint32Array;
  readonly #faults: Int32Array;

  constructor(memory: SiteMemory) {
    this.webhooks = memory.webhooks;
    this.#behaviour = new Uint16Array(memory.behaviour);
    this.#latency = new Uint16Array(memory.latency);
    this.#requests = new Uint32Array(memory.requests);
    this.#faults = new Int32Array(memory.faults);
  }

  /** From `first`, so many: what they do from now on, and how long they take to answer. */
  behave(first: number, count: number, behaviour: number, latencyMs?: number): void {
    this.#behaviour.fill(behaviour, first, first + count);
    if (latencyMs !== undefined) this.#latency.fill(latencyMs, first, first + count);
  }

  behaviourOf(webhook: number): number {
    return this.#behaviour[webhook] ?? BEHAVIOUR.ok;
  }

  latencyMsOf(webhook: number): number {
    return this.#latency[webhook] ?? 0;
  }

  /** Whether it takes what comes: nothing is owed to it at the end. */
  isHealthy(webhook: number): boolean {
    const behaviour = this.behaviourOf(webhook);
    return behaviour === BEHAVIOUR.ok || behaviour === BEHAVIOUR.swallow;
  }

  requested(webhook: number): void {
    Atomics.add(this.#requests, webhook, 1);
  }

  /** Requests that came for it, whatever was answered. */
  requestsOf(webhook: number): number {
    return this.#requests[webhook] ?? 0;
  }

  faulted(fault: Fault): void {
    Atomics.add(this.#faults, FAULTS.indexOf(fault), 1);
  }

  faults(): Record<Fault, number> {
    return Object.fromEntries(FAULTS.map((name, index) => [name, this.#faults[index] ?? 0])) as Record<
      Fault,
      number
    >;
  }
}
