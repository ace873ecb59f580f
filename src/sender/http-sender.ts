import type { AddressPolicy } from "../domain/address.ts";
import type { WebhookId } from "../domain/ids.ts";
import type { SealedParts } from "../domain/webhook.ts";
import type { Clock } from "../lib/clock.ts";
import { Attempt, type AttemptContext } from "./attempt.ts";
import { Connections } from "./connections.ts";
import { Dialer } from "./connector.ts";
import { Deadlines } from "./deadlines.ts";
import { ownFailure, SendFailure } from "./failure.ts";
import type { Outcome, Sender, SendOrder, Target } from "./port.ts";
import { requestHead } from "./request.ts";
import { NameResolver } from "./resolver.ts";
import { prepareTarget, type ReadyTarget, type TargetRules } from "./target.ts";

/** What may change while it runs. */
export interface SenderRules {
  /** Another object is another policy: connections that were made under the one before serve no further attempt. */
  readonly policy: AddressPolicy;
  /** Takes callback URLs with http. */
  readonly allowHttp: boolean;
  /** Name servers, `address` or `address:port`; empty: the system's. */
  readonly dnsServers: readonly string[];
  /** Bytes kept of a response body; 0 keeps none. */
  readonly excerptBytes: number;
  /** Idle connections over all origins; connections.ts says when there may be more. */
  readonly idleConnectionsMax: number;
}

export interface HttpSenderOptions extends SenderRules {
  readonly clock: Clock;
  /** hookd's, for the user agent. */
  readonly version: string;
  /** Takes `localhost`; whether loopback addresses are open is the policy's. */
  readonly allowLoopback: boolean;
  /** PEM file of certificates trusted besides Node's. */
  readonly caFile: string | null;
  /** Decrypts. */
  readonly open: (sealed: Uint8Array) => SealedParts;
  /**
   * What the operator's log may hold of a failed attempt: addresses and system codes, but no byte of the
   * receiver.
   */
  readonly onFailure?: (outcome: Outcome, failure: SendFailure) => void;
}

export interface SenderCounts {
  readonly inFlight: number;
  readonly takenConnections: number;
  readonly idleConnections: number;
  readonly idleOrigins: number;
  readonly isTicking: boolean;
}

export interface HttpSender extends Sender {
  counts(): SenderCounts;
  /** From the next attempt on. Put every target again: those known were prepared by the rules before. */
  changeRules(rules: SenderRules): void;
}

/**
 * A sender over HTTP/1.1. `onOutcome` is called once per order, sometimes from inside `send`; what it throws
 * ends the thread. Throws for an unreadable CA file or a wrong name server.
 */
export function createSender(options: HttpSenderOptions, onOutcome: (outcome: Outcome) => void): HttpSender {
  return new SocketSender(options, onOutcome);
}

class SocketSender implements HttpSender {
  readonly #options: HttpSenderOptions;
  readonly #onOutcome: (outcome: Outcome) => void;
  #rules: SenderRules;
  #targetRules: TargetRules;
  readonly #deadlines: Deadlines;
  readonly #resolver: NameResolver;
  readonly #connections: Connections;
  readonly #context: AttemptContext;
  readonly #targets = new Map<WebhookId, ReadyTarget | SendFailure>();
  #inFlight = 0;
  #isStopped = false;

  constructor(options: HttpSenderOptions, onOutcome: (outcome: Outcome) => void) {
    this.#options = options;
    this.#onOutcome = onOutcome;
    this.#rules = options;
    this.#targetRules = { ...options, userAgent: `hookd/${options.version}` };
    this.#deadlines = new Deadlines(options.clock);
    this.#resolver = new NameResolver(options.clock, this.#deadlines, options.dnsServers);
    const policy: AddressPolicy = { check: (address) => this.#rules.policy.check(address) };
    const dialer = new Dialer({ ...options, policy, deadlines: this.#deadlines, resolver: this.#resolver });
    this.#connections = new Connections(dialer, options.idleConnectionsMax);
    this.#context = {
      clock: options.clock,
      connections: this.#connections,
      deadlines: this.#deadlines,
      excerptBytes: options.excerptBytes,
      settle: (outcome, failure) => {
        this.#inFlight -= 1;
        this.#report(outcome, failure);
      },
    };
  }

  putTarget(target: Target): void {
    this.#targets.set(target.webhookId, prepareTarget(target, this.#targetRules));
  }

  dropTarget(webhookId: WebhookId): void {
    this.#targets.delete(webhookId);
  }

  send(orders: readonly SendOrder[]): void {
    for (const order of orders) if (!this.#isStopped) this.#begin(order);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#deadlines.stop();
    this.#resolver.stop();
    await this.#connections.closeAll();
  }

  changeRules(rules: SenderRules): void {
    const before = this.#rules;
    this.#rules = rules;
    this.#targetRules = { ...this.#targetRules, policy: rules.policy, allowHttp: rules.allowHttp };
    this.#context.excerptBytes = rules.excerptBytes;
    this.#connections.idleMax = rules.idleConnectionsMax;
    if (before.policy !== rules.policy) this.#connections.retire();
    if (before.dnsServers.join() !== rules.dnsServers.join()) this.#resolver.setServers(rules.dnsServers);
  }

  counts(): SenderCounts {
    return {
      inFlight: this.#inFlight,
      takenConnections: this.#connections.takenCount,
      idleConnections: this.#connections.idleCount,
      idleOrigins: this.#connections.originCount,
      isTicking: this.#deadlines.isTicking,
    };
  }

  #begin(order: SendOrder): void {
    const now = this.#options.clock.now();
    const target = this.#targets.get(order.webhookId);
    if (target === undefined || target instanceof SendFailure) {
      this.#refuse(
        order,
        now,
        target ?? new SendFailure("internal", `webhook ${order.webhookId} is not known`),
      );
      return;
    }
    let head: string;
    try {
      head = requestHead(order, target, now);
    } catch (error) {
      this.#refuse(order, now, ownFailure(`${target.publicId} cannot be signed for`, error));
      return;
    }
    this.#inFlight += 1;
    new Attempt(this.#context, order, target, head, now).begin();
  }

  /** The outcome of an order that never became a request. */
  #refuse(order: SendOrder, now: number, failure: SendFailure): void {
    const outcome: Outcome = {
      deliveryId: order.deliveryId,
      token: order.token,
      webhookId: order.webhookId,
      attempt: {
        number: order.attemptNumber,
        startedAt: now,
        durationMs: 0,
        verdict: failure.kind === "blocked" ? "blocked" : "retry",
        statusCode: null,
        error: failure.kind,
        excerpt: null,
      },
      retryAfterMs: null,
    };
    this.#report(outcome, failure);
  }

  /**
   * What a listener throws must end the thread, and not before the connection that this runs for is in order:
   * it comes up in a turn of its own.
   */
  #report(outcome: Outcome, failure: SendFailure | null): void {
    if (this.#isStopped) return;
    try {
      this.#onOutcome(outcome);
      if (failure !== null) this.#options.onFailure?.(outcome, failure);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
