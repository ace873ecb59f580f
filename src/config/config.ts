import type { RetryPolicy } from "../domain/webhook.ts";
import type { ListenAddress } from "./kinds.ts";

/**
 * The configuration as code uses it: parsed, checked, plain (it crosses threads). Times in ms, sizes in bytes. Each thread
 * has one, whose live parts a reload replaces (changes.ts): read it where it is used, do not keep a part of it.
 */
export interface Config {
  readonly listen: ListenAddress;
  /** Absolute. */
  readonly dataDir: string;
  /** `serve --dev`: callbacks over http and to loopback are allowed, and hookd listens on loopback only. */
  readonly dev: boolean;
  readonly store: { readonly url: "sqlite" };
  readonly delivery: {
    readonly timeoutMs: number;
    readonly ageMaxMs: number;
    readonly concurrencyMax: number;
    readonly inFlightMax: number;
    readonly senders: number | "auto";
    readonly drainMs: number;
    readonly responseExcerptBytes: number;
  };
  readonly retry: {
    readonly policy: RetryPolicy;
    readonly jitter: number;
    /** For `compilePermanent`. */
    readonly permanent: readonly string[];
  };
  readonly breaker: {
    readonly consecutive: number;
    readonly window: number;
    readonly ratio: number;
    readonly probeMs: number;
    readonly probeMaxMs: number;
    readonly disableAfterMs: number;
  };
  readonly net: {
    readonly allow: readonly string[];
    /** True with `dev` too. */
    readonly allowHttp: boolean;
    /** As `dev`. */
    readonly allowLoopback: boolean;
    readonly dnsServers: readonly string[];
    /** Absolute. */
    readonly caFile: string | null;
    readonly nat64: boolean;
    readonly idleConnectionsMax: number;
  };
  readonly limits: {
    readonly payloadBytes: number;
    readonly batchBytes: number;
    readonly queueDepth: number;
    readonly userBacklog: number;
    readonly laneBacklog: number;
    readonly diskFreeBytes: number;
    /** Events a second; 0: no limit. */
    readonly publishPerKey: number;
    readonly fanoutMax: number;
    readonly dedupeWindowMs: number;
  };
  /** hookd's own. */
  readonly events: {
    /** Of dead deliveries; 0: none. */
    readonly deadPerMinute: number;
    readonly behindAfterMs: number;
    readonly recoveredAfterMs: number;
    /** 0: never low. */
    readonly diskLowBytes: number;
  };
  readonly retention: {
    readonly successMs: number;
    readonly deadMs: number;
    /** Absolute; null: what is old is deleted without being kept. */
    readonly archiveDir: string | null;
  };
  readonly trace: {
    /** Where spans are posted, in full; null: nothing is traced. */
    readonly endpoint: string | null;
    /** Sent with them: may be credentials. */
    readonly headers: Readonly<Record<string, string>>;
    /** 0 to 1. */
    readonly sample: number;
    readonly propagate: boolean;
  };
  /** Absolute. */
  readonly backup: { readonly dir: string };
  readonly cache: { readonly ttlMs: number; readonly entries: number };
  /** Absolute; null: `master.key` in the data directory. */
  readonly security: { readonly masterKeyFile: string | null };
  readonly log: {
    readonly level: "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";
    /** 0 to 1. */
    readonly sampleSuccess: number;
  };
}
