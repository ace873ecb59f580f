import type { IncomingHttpHeaders } from "node:http";
import type { ApiKey } from "../domain/key.ts";
import { isReservedEventId } from "../domain/names.ts";
import { Problem } from "../domain/problem.ts";
import { publishRefusal } from "../domain/refusal.ts";
import type { PublishOutcome } from "../engine/port.ts";
import type { AcceptSpan } from "./accept-tracing.ts";
import { checkScope } from "./auth.ts";
import { JSON_TYPE } from "./bodies.ts";
import type { ApiContext } from "./context.ts";
import { type Envelope, parseEnvelope } from "./envelope.ts";
import { toProblem } from "./problems.ts";
import {
  accepted,
  acceptedText,
  checkRate,
  contentTypeOf,
  count,
  ENVELOPE_BYTES,
  hand,
  type Item,
  isBroadcast,
  itemOf,
  type Targets,
  targetsOf,
  traced,
  uidHeader,
} from "./publishing.ts";
import { READ_ALWAYS, READ_TRACED } from "./request-head.ts";

/** `POST /v1/publish/{event_id}[?user_id=...]` with nothing in it that needs decoding. */
const PUBLISH =
  /^(?:\/v1)?\/publish\/([A-Za-z0-9][A-Za-z0-9_.-]{0,127})(?:\?user_id=([A-Za-z0-9_-]{1,64}))?$/;
const LENGTH = /^\d{1,15}$/;
/** What is a content type without a doubt: fastify judges the others. */
const TYPE = /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+(?:[ \t]*;[ \t]*[\w!#$&^.+-]+=[\w!#$&^.+-]+)*$/;

/** A request that takes the short way. */
export interface FastRequest {
  readonly headers: IncomingHttpHeaders;
  /** Null: the body is an envelope. */
  readonly path: Pick<Envelope, "eventId" | "userId"> | null;
  /** At least 1, and no more than the call takes. */
  readonly bodyBytes: number;
}

/** Called once: with the 202's text, which is ASCII, or with the problem. */
export type Done = (result: string | Problem) => void;

export interface FastPublish {
  /** Names of the headers that it reads, in lower case. */
  readonly reads: ReadonlySet<string>;
  /** The POST with this head, or null: it has to go the full way. */
  take(url: string, headers: IncomingHttpHeaders): FastRequest | null;
  /** Whether its key is known to be good now: only then is memory given to a body that is still coming. */
  isKnown(request: FastRequest): boolean;
  /** `address`: where it came from, for whoever guesses at keys. */
  publish(request: FastRequest, address: string, body: Buffer, requestId: string, done: Done): void;
}

/**
 * The hot path, tens of thousands of times a second: publishing by the two calls for one event, past fastify. It takes
 * requests whose head is as publishers write it: plain names, a content length within the limit. Everything else it
 * leaves untouched for the full way, which answers the same and explains what is wrong; a test holds the two together.
 */
export function createFastPublish(context: ApiContext, isClosing: () => boolean): FastPublish {
  const { payloadBytes } = context.config.limits;

  function take(url: string, headers: IncomingHttpHeaders): FastRequest | null {
    const match = PUBLISH.exec(url);
    if (match === null && url !== "/v1/events" && url !== "/events") return null;
    const eventId = match?.[1] ?? null;
    if (isClosing() || (eventId !== null && isReservedEventId(eventId))) return null;
    const length = headers["content-length"];
    if (length === undefined || !LENGTH.test(length) || headers.authorization === undefined) return null;
    const bodyBytes = Number(length);
    const bodyBytesMax = eventId === null ? payloadBytes + ENVELOPE_BYTES : payloadBytes;
    if (bodyBytes === 0 || bodyBytes > bodyBytesMax) return null;
    const type = headers["content-type"];
    if (type === undefined || !TYPE.test(type) || (eventId === null && !JSON_TYPE.test(type))) return null;
    return { headers, path: eventId === null ? null : { eventId, userId: match?.[2] ?? null }, bodyBytes };
  }

  function publish(request: FastRequest, address: string, body: Buffer, requestId: string, done: Done): void {
    const problem = publishRefusal(context.engine);
    if (problem !== null) {
      count(context, problem);
      done(problem);
      return;
    }
    const key = context.auth.known(request.headers.authorization);
    if (key === null) publishStranger(request, address, body, requestId, done);
    else publishWith(key, request, body, requestId, done);
  }

  /** By itself: what makes closures keeps all its arguments in an object, for each event that comes by. */
  function publishStranger(
    request: FastRequest,
    address: string,
    body: Buffer,
    requestId: string,
    done: Done,
  ): void {
    context.auth.authenticate(request.headers.authorization, address).then(
      (key) => publishWith(key, request, body, requestId, done),
      (error) => refuse(context, requestId, toProblem(error), done),
    );
  }

  function publishWith(key: ApiKey, request: FastRequest, body: Buffer, requestId: string, done: Done): void {
    try {
      checkScope(key, "publish");
      const checked = itemOfRequest(key, request, body);
      const span = context.tracing === null ? null : context.tracing.begin(request.headers);
      const item = traced(checked, span);
      const targets = targetsOf(context, item);
      const isUsual =
        span === null && !isBroadcast(item) && !(targets instanceof Promise) && targets.length > 0;
      if (isUsual) context.engine.submit({ ...item, targets }, answering(context, requestId, item.uid, done));
      else publishUnusual(item, targets, span, requestId, done);
    } catch (error) {
      refuse(context, requestId, toProblem(error), done);
    }
  }

  /** To be traced, for everyone, for nobody, or for webhooks that are looked up first. */
  function publishUnusual(
    item: Item,
    targets: Targets | Promise<Targets>,
    span: AcceptSpan | null,
    requestId: string,
    done: Done,
  ): void {
    hand(context, item, targets).then(
      (result) => done(accepted(context, item, result, span)),
      (error) => {
        const problem = toProblem(error);
        count(context, problem);
        span?.refused(problem);
        refuse(context, requestId, problem, done);
      },
    );
  }

  function itemOfRequest(key: ApiKey, { headers, path }: FastRequest, body: Buffer) {
    checkRate(context, key, 1);
    const uid = uidHeader(headers);
    if (path === null) return itemOf(context, key, parseEnvelope(body), uid);
    const envelope = { ...path, eventUid: null, payload: body };
    return itemOf(context, key, envelope, uid, contentTypeOf(headers));
  }

  const isKnown = ({ headers }: FastRequest) => context.auth.known(headers.authorization) !== null;

  const reads = context.tracing === null ? READ_ALWAYS : READ_TRACED;

  return { reads, take, isKnown, publish };
}

/**
 * Answers an event that was handed over. Made out here, where no request is in sight: while thousands of them wait for their
 * commit, what a closure beside this one uses would be kept with it, and copied by the collector.
 */
function answering(
  context: ApiContext,
  requestId: string,
  uid: string | null,
  done: Done,
): (outcome: PublishOutcome) => void {
  return (outcome) => {
    if (outcome instanceof Problem) {
      count(context, outcome);
      refuse(context, requestId, outcome, done);
    } else {
      done(acceptedText(context, uid, outcome));
    }
  };
}

function refuse(
  { log }: ApiContext,
  requestId: string,
  problem: Problem,
  done: (result: Problem) => void,
): void {
  if (problem.code === "internal") {
    log.error({ err: problem.cause ?? problem, request_id: requestId }, "request failed");
  }
  done(problem);
}
