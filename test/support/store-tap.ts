import type { CommitBatch, LeaseWant, Store } from "../../src/store/port.ts";

/** Everything that goes through a store, with faults to order: refused calls, commits that take their time. */
export interface StoreTap {
  readonly store: Store;
  readonly commits: CommitBatch[];
  readonly leases: (readonly LeaseWant[])[];
  readonly calls: (keyof Store)[];
  /** Calls that wait for the store alone, not for the test. */
  readonly pending: () => number;
  /** Rejects with this instead of calling; null: goes on. */
  fault: (method: keyof Store, args: readonly unknown[]) => unknown;
  /** Calls wait for this, after which they are made. */
  delay: (method: keyof Store) => Promise<void> | null;
  /** Commits wait from now on, before anything is done, until the returned function is called. */
  hold(): () => void;
  /** As if the process were gone: no call returns any more. */
  cut(): void;
}

export function tapStore(inner: Store): StoreTap {
  let pending = 0;
  let isCut = false;
  let held: Promise<void> | null = null;
  const tap: StoreTap = {
    store: new Proxy(inner, { get: (_, method) => wrapped(method as keyof Store) }),
    commits: [],
    leases: [],
    calls: [],
    pending: () => pending,
    fault: () => null,
    delay: () => null,
    hold() {
      let release = () => {};
      held = new Promise((resolve) => {
        release = () => {
          held = null;
          resolve();
        };
      });
      return release;
    },
    cut() {
      isCut = true;
      pending = 0;
    },
  };

  function wrapped(method: keyof Store) {
    if (method === "stats") return () => inner.stats();
    if (method === "reusableBytes") return () => inner.reusableBytes();
    return async (...args: unknown[]) => {
      if (isCut) return new Promise(() => undefined);
      tap.calls.push(method);
      if (method === "commit") tap.commits.push(args[0] as CommitBatch);
      if (method === "lease") tap.leases.push(args[0] as readonly LeaseWant[]);
      if (method === "commit" && held) await held;
      await tap.delay(method);
      if (isCut) return new Promise(() => undefined);
      const fault = tap.fault(method, args);
      if (fault !== null && fault !== undefined) throw fault;
      pending += 1;
      try {
        const call = inner[method] as (...given: unknown[]) => Promise<unknown>;
        const value = await call.apply(inner, args);
        return isCut ? new Promise(() => undefined) : value;
      } finally {
        if (!isCut) pending -= 1;
      }
    };
  }
  return tap;
}
