import type { IncomingMessage, ServerResponse } from "node:http";
import type { FastifyBaseLogger, FastifyInstance, FastifyTypeProvider, RawServerDefault } from "fastify";
import type { Logger } from "pino";
import type { Static, TSchema } from "typebox";
import type { AddressPolicy } from "../domain/address.ts";
import type { ApiKey, Scope } from "../domain/key.ts";
import type { ProblemCode } from "../domain/problem.ts";
import type { Sealer } from "../domain/seal.ts";
import type { Engine } from "../engine/port.ts";
import type { Clock } from "../lib/clock.ts";
import type { AcceptTracing } from "./accept-tracing.ts";
import type { Authenticator } from "./auth.ts";
import type { ApiCounters } from "./counters.ts";
import type { Cursors } from "./cursors.ts";
import type { PublishRate } from "./publish-rate.ts";
import type { Registry } from "./registry.ts";
import type { Renderer } from "./render.ts";
import type { StreamHub } from "./stream.ts";

/** What the API reads of the configuration. What is live is read at each use: a reload replaces it in place. */
export interface ApiConfig {
  readonly listen: { readonly host: string; readonly port: number };
  readonly net: { readonly allowHttp: boolean; readonly allowLoopback: boolean };
  readonly delivery: { readonly concurrencyMax: number };
  readonly cache: { readonly ttlMs: number; readonly entries: number };
  readonly limits: {
    readonly payloadBytes: number;
    readonly batchBytes: number;
    /** Events per second of one key; 0: as fast as it can. */
    readonly publishPerKey: number;
  };
}

/** What the API is given. */
export interface ApiDeps {
  readonly engine: Engine;
  readonly config: ApiConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly sealer: Sealer;
  /** Judges IP literals in callback URLs; senders judge what names resolve to. */
  readonly policy: AddressPolicy;
  readonly version: string;
  /** Prometheus text. */
  readonly metrics: () => Promise<string>;
  /** For the metrics; made here when not given. */
  readonly counters?: ApiCounters;
  /** Left out: nothing is traced. */
  readonly tracing?: AcceptTracing | null;
  /** Of all bodies that are being read at once; the default is for all but tests. */
  readonly bodiesBytesMax?: number;
  /** Unpredictable bytes; default node:crypto. */
  readonly randomBytes?: (count: number) => Uint8Array;
}

/** What every route file is handed. */
export interface ApiContext {
  readonly engine: Engine;
  readonly config: ApiConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly sealer: Sealer;
  readonly policy: AddressPolicy;
  readonly version: string;
  readonly metrics: () => Promise<string>;
  readonly randomBytes: (count: number) => Uint8Array;
  readonly auth: Authenticator;
  readonly registry: Registry;
  readonly cursors: Cursors;
  readonly render: Renderer;
  readonly counters: ApiCounters;
  /** Null: nothing is traced. */
  readonly tracing: AcceptTracing | null;
  readonly stream: StreamHub;
  readonly publishRate: PublishRate;
  /** Changes of one webhook that read it first, one after the other. */
  readonly inTurn: <T>(name: string, work: () => Promise<T>) => Promise<T>;
}

/** Handlers get the types of what the schemas let in. Answers are held to theirs by tests, with readonly as it is. */
export interface SchemaTypes extends FastifyTypeProvider {
  validator: this["schema"] extends TSchema ? Static<this["schema"]> : unknown;
  serializer: unknown;
}

export type Api = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  SchemaTypes
>;

declare module "fastify" {
  /** What a route says of itself: the hooks obey it, and the OpenAPI document shows it. */
  interface FastifyContextConfig {
    operationId?: string;
    tag?: string;
    summary?: string;
    /**
     * What a key needs to have; `admin`: to be an admin key; `open`: no key is asked for; `metrics`: as that route says.
     */
    scope?: Scope | "admin" | "open" | "metrics";
    /** What it can answer with, beyond what follows from its scope and body. */
    problems?: readonly ProblemCode[];
    /** Content types of the body; default JSON. */
    bodyTypes?: readonly string[];
    /** The body may be left out. */
    isBodyOptional?: boolean;
    /** It accepts events: refused at once while the engine takes none. */
    isPublish?: boolean;
    /** Content type of a good answer; default JSON. */
    answerType?: string;
    /** Headers that the route reads. */
    readsHeaders?: readonly string[];
  }
  interface FastifyRequest {
    /** Set by the hook of every route that asks for a key. */
    apiKey: ApiKey | null;
  }
}
