import type { MessagePort } from "node:worker_threads";
import type { Config } from "../config/config.ts";
import type { IdSalt, WebhookId } from "../domain/ids.ts";
import type { ProblemCode } from "../domain/problem.ts";
import type { Span } from "../domain/span.ts";
import type { Engine, Watched, WatchFilter } from "../engine/port.ts";
import type { Target } from "../sender/port.ts";
import type { FailureReport } from "./own-failures.ts";

/** Under load a thread sends what it has gathered so often: a message costs as much as ten entries in one. */
export const MESSAGE_EVERY_MS = 1;
/**
 * ...and whenever it has gathered so many: a turn of its loop that reads hundreds of sockets takes many milliseconds, in
 * which the next thread would have nothing to do, to be waited for in its turn.
 */
export const MESSAGE_ENTRIES_MAX = 64;

/** ...or so many bytes of payloads: whoever still needs one of them, as for a receiver that hangs, keeps all in memory. */
export const MESSAGE_BYTES_MAX = 256 * 1024;

/** Everything that crosses threads. What is frequent is bytes (publish-codec.ts, send-codec.ts), the rest is cloned. */
export interface DirectorData {
  readonly config: Config;
  readonly version: string;
  /** Names the master key, so that a wrong one is noticed. */
  readonly keyId: string;
  readonly acceptClock: boolean;
  /** One per sender; the other end is the sender's. */
  readonly senderPorts: readonly MessagePort[];
}

export interface SenderData {
  readonly config: Config;
  readonly version: string;
  readonly masterKey: Uint8Array;
  readonly ownAddresses: readonly string[];
  /** How many there are. */
  readonly senders: number;
  readonly port: MessagePort;
}

export interface ArchiveData {
  /** `retention.archive_dir`. */
  readonly directory: string;
  readonly salt: IdSalt;
}

/** The answer to a slice of ended deliveries (archive-codec.ts). Null: they are durable. */
export interface FromArchive {
  readonly failure: string | null;
}

export type ToDirector =
  | {
      readonly kind: "publish";
      readonly group: number;
      readonly count: number;
      readonly bytes: Uint8Array;
      /** Events that were handed over and are not answered, with these. */
      readonly outstanding: number;
    }
  | {
      readonly kind: "call";
      readonly call: number;
      readonly method: CallName;
      readonly args: readonly unknown[];
    }
  | { readonly kind: "watch"; readonly watch: number; readonly filter: WatchFilter }
  | { readonly kind: "unwatch"; readonly watch: number }
  /** A sender was replaced: its deliveries in flight are lost, the port leads to the new one. */
  | { readonly kind: "sender"; readonly index: number; readonly port: MessagePort }
  /** The configuration that is in force from now on. */
  | { readonly kind: "config"; readonly config: Config }
  | { readonly kind: "stop" };

export type FromDirector =
  | { readonly kind: "ready"; readonly salt: IdSalt }
  | { readonly kind: "failed"; readonly message: string }
  | {
      readonly kind: "published";
      readonly answers: readonly { readonly group: number; readonly count: number }[];
      readonly bytes: Uint8Array;
    }
  | { readonly kind: "returned"; readonly call: number; readonly value: unknown }
  | { readonly kind: "threw"; readonly call: number; readonly problem: ProblemValue }
  | { readonly kind: "watched"; readonly watch: number; readonly watched: Watched }
  | { readonly kind: "webhook"; readonly userId: string }
  | { readonly kind: "refusal"; readonly refusal: Engine["refusal"] }
  /** Of attempts that are traced. */
  | { readonly kind: "spans"; readonly spans: readonly Span[] }
  | { readonly kind: "stopped" };

export type ToSender =
  | { readonly kind: "orders"; readonly bytes: Uint8Array }
  | { readonly kind: "target"; readonly target: Target }
  | { readonly kind: "drop"; readonly webhookId: WebhookId }
  /** Before the targets and orders that it is for. */
  | { readonly kind: "config"; readonly config: Config }
  | { readonly kind: "stop" };

export type FromSender =
  | { readonly kind: "outcomes"; readonly bytes: Uint8Array }
  | ({ readonly kind: "failures" } & FailureReport)
  | { readonly kind: "stopped" };

/** The engine's calls that are passed on as they are. */
export type CallName = Exclude<
  keyof Engine,
  "salt" | "publish" | "submit" | "publishMany" | "watch" | "onWebhookChanged" | "refusal" | "isFull"
>;

/** A problem as it crosses threads. */
export interface ProblemValue {
  readonly code: ProblemCode;
  readonly detail: string;
  readonly details: Readonly<Record<string, unknown>>;
  readonly retryAfterSeconds: number | null;
}
