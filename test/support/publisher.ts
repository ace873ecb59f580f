import { Agent, request } from "node:http";
import type { Ledger } from "./ledger.ts";

export interface Post {
  readonly uid: string;
  readonly userId: string;
  readonly eventId: string;
  /** The receiver's name in the ledger. */
  readonly webhook: string;
  readonly payload: string;
}

export interface PublisherOptions {
  readonly server: string;
  readonly key: string;
  readonly perSecond: number;
  readonly inFlightMax: number;
  readonly ledger: Ledger;
  /** The n-th event. */
  readonly make: (n: number) => Post;
  /** An event whose answer was lost, and that the publisher does not publish again: unknown for ever. */
  readonly givesUp?: (post: Post) => boolean;
}

interface Try {
  readonly post: Post;
  readonly count: number;
}

const TICK_MS = 4;
/** Time that a slow tick may catch up on: no burst after a restart. */
const CREDIT_MS = 50;
const REFUSED_PAUSE_MS = 20;
const BUSY_PAUSE_MS = 50;

/**
 * A load of numbered events at a steady rate, each with a uid of its own, over a bounded number of kept connections.
 * While the daemon is away it waits; what got no answer is published again under the same uid.
 */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #agent: Agent;
  readonly #again: Try[] = [];
  readonly problems: string[] = [];
  #timer: NodeJS.Timeout | null = null;
  #lastMono = 0;
  #credit = 0;
  #made = 0;
  #inFlight = 0;
  #blockedUntilMono = 0;
  #isMaking = false;
  acknowledged = 0;
  refused = 0;
  broken = 0;
  givenUp = 0;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#agent = new Agent({ keepAlive: true, maxSockets: options.inFlightMax });
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get made(): number {
    return this.#made;
  }

  start(): void {
    this.#isMaking = true;
    this.#lastMono = performance.now();
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
  }

  /** Makes no new events; resolves when each one made is acknowledged or given up. */
  async finish(ms: number): Promise<void> {
    this.#isMaking = false;
    const deadline = performance.now() + ms;
    while (this.#inFlight > 0 || this.#again.length > 0) {
      if (performance.now() > deadline) {
        throw new Error(`${this.#inFlight + this.#again.length} events got no answer within ${ms} ms`);
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    this.stop();
  }

  stop(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
    this.#agent.destroy();
  }

  #tick(): void {
    const now = performance.now();
    const { perSecond, inFlightMax } = this.#options;
    this.#credit += ((now - this.#lastMono) * perSecond) / 1000;
    this.#credit = Math.min(this.#credit, (CREDIT_MS * perSecond) / 1000);
    this.#lastMono = now;
    if (now < this.#blockedUntilMono) return;
    while (this.#credit >= 1 && this.#inFlight < inFlightMax) {
      const again = this.#again.shift();
      if (!again && !this.#isMaking) return;
      this.#credit -= 1;
      this.#send(again ?? this.#make());
    }
  }

  #make(): Try {
    const post = this.#options.make(this.#made);
    this.#made += 1;
    this.#options.ledger.attempted(post.uid, post.webhook);
    return { post, count: 0 };
  }

  #send({ post, count }: Try): void {
    const { server, key } = this.#options;
    const sentMono = performance.now();
    let isOver = false;
    this.#inFlight += 1;
    const end = (then: () => void): void => {
      if (isOver) return;
      isOver = true;
      this.#inFlight -= 1;
      then();
    };
    // Both ways in, with both ways to give the uid.
    const isRaw = post.uid.charCodeAt(post.uid.length - 1) % 2 === 0;
    const path = isRaw ? `/v1/publish/${post.eventId}?user_id=${post.userId}` : "/v1/events";
    const body = isRaw
      ? post.payload
      : `{"event_id":"${post.eventId}","user_id":"${post.userId}","event_uid":"${post.uid}","payload":${post.payload}}`;
    const headers = {
      authorization: `Bearer ${key}`,
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
      ...(isRaw ? { "idempotency-key": post.uid } : {}),
    };
    const call = request(`${server}${path}`, { agent: this.#agent, method: "POST", headers }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () =>
        end(() => this.#answered({ post, count }, response.statusCode ?? 0, text, sentMono)),
      );
      response.on("error", () => end(() => this.#broke({ post, count }, "")));
    });
    call.on("error", (error: NodeJS.ErrnoException) =>
      end(() => this.#broke({ post, count }, error.code ?? "")),
    );
    call.end(body);
  }

  #answered({ post, count }: Try, status: number, text: string, sentMono: number): void {
    const { ledger } = this.#options;
    if (status !== 202) {
      this.refused += 1;
      if (status !== 503 && status !== 429)
        this.problems.push(`${post.uid}: ${status} ${text.slice(0, 200)}`);
      this.#blockedUntilMono = performance.now() + BUSY_PAUSE_MS;
      this.#again.push({ post, count: count + 1 });
      return;
    }
    this.acknowledged += 1;
    ledger.acknowledged(post.uid, post.webhook);
    const isDuplicate = text.includes('"duplicate":true');
    if (!text.includes('"delivery_count":1')) this.problems.push(`${post.uid}: no delivery: ${text}`);
    if (isDuplicate && count === 0)
      this.problems.push(`${post.uid} was new, and called a duplicate: ${text}`);
    // What a receiver had when this try was sent was stored before it: the try must have found it.
    const acceptedAt = ledger.acceptedAt(post.uid, post.webhook);
    if (!isDuplicate && acceptedAt !== null && acceptedAt < sentMono) {
      this.problems.push(`${post.uid} was published again and became a second event: ${text}`);
    }
  }

  #broke({ post, count }: Try, code: string): void {
    if (code === "ECONNREFUSED") {
      this.#blockedUntilMono = performance.now() + REFUSED_PAUSE_MS;
      this.#again.push({ post, count });
      return;
    }
    this.broken += 1;
    if (this.#options.givesUp?.(post)) this.givenUp += 1;
    else this.#again.push({ post, count: count + 1 });
  }
}
