import type { LedgerMemory } from "./ledger.ts";
import type { Load } from "./load.ts";
import type { Samples } from "./samples.ts";
import type { SiteMemory } from "./site.ts";

/** Every message between the coordinator and the threads of the bench. */

export interface PublisherData {
  readonly ledger: LedgerMemory;
  readonly site: SiteMemory;
  /** This thread's number, of so many that share each load. */
  readonly index: number;
  readonly threads: number;
}

export type ToPublisher =
  | { readonly kind: "load"; readonly load: Load }
  | { readonly kind: "stop"; readonly id: number }
  | { readonly kind: "flush"; readonly token: number };

export type FromPublisher =
  | { readonly kind: "samples"; readonly samples: Samples }
  | { readonly kind: "done"; readonly id: number; readonly sent: number; readonly answered: number }
  | Flushed;

export interface ReceiverData {
  readonly ledger: LedgerMemory;
  readonly site: SiteMemory;
  readonly payloadBytes: number;
  /** 0: any free one. */
  readonly port: number;
}

export type ToReceiver =
  | { readonly kind: "flush"; readonly token: number }
  | { readonly kind: "fanOut"; readonly seq: number };

export type FromReceiver =
  | { readonly kind: "listening"; readonly port: number }
  | { readonly kind: "samples"; readonly samples: Samples }
  | Flushed;

/** All that was measured before the request for it has been sent. */
export interface Flushed {
  readonly kind: "flushed";
  readonly token: number;
  /** Since the thread began, ms: whether the generator itself was the limit. */
  readonly activeMs: number;
  readonly idleMs: number;
}

export interface CalibrationData {
  readonly origins: readonly string[];
  /** Of the file that is written and synced. */
  readonly directory: string;
}

export type ToCalibration =
  | { readonly kind: "post"; readonly durationMs: number }
  | { readonly kind: "listen" }
  | { readonly kind: "accepted" }
  | { readonly kind: "sync"; readonly count: number };

export type FromCalibration =
  | { readonly kind: "posted"; readonly count: number; readonly seconds: number; readonly cpuSeconds: number }
  | { readonly kind: "listening"; readonly port: number }
  | { readonly kind: "accepted"; readonly count: number; readonly cpuSeconds: number }
  | { readonly kind: "synced"; readonly ms: readonly number[] };
