import type { FastifyReply, FastifyRequest } from "fastify";
import type { ApiKey } from "../domain/key.ts";
import { Problem } from "../domain/problem.ts";
import type { PublishOutcome, PublishRequest } from "../engine/port.ts";
import type { AcceptSpan } from "./accept-tracing.ts";
import type { ApiContext } from "./context.ts";
import type { Envelope } from "./envelope.ts";
import { problemBody, retryAfterOf, toProblem } from "./problems.ts";
import {
  acceptedText,
  count,
  hand,
  type Item,
  isBroadcast,
  itemOf,
  type Targets,
  targetsOf,
  traced,
} from "./publishing.ts";

/** What became of one event of a batch. Null: there was nobody to deliver it to. */
type Outcome = PublishOutcome | null;

/**
 * Publishes a batch's events, each accepted or refused for itself, and resolves with the 202's text. Traced, the request is
 * one span: every event's attempts have it for their parent.
 */
export function publishBatch(
  context: ApiContext,
  request: FastifyRequest,
  reply: FastifyReply,
  key: ApiKey,
  envelopes: readonly (Envelope | Problem)[],
): Promise<string> {
  const span = context.tracing?.begin(request.headers) ?? null;
  const items = envelopes.map((one) => (one instanceof Problem ? one : checked(context, key, one, span)));
  const uids = items.map((item) => (item instanceof Problem ? null : item.uid));
  return routeAndHand(context, items).then((outcomes) =>
    answerOf(context, request, reply, uids, outcomes, span),
  );
}

function checked(
  context: ApiContext,
  key: ApiKey,
  envelope: Envelope,
  span: AcceptSpan | null,
): Item | Problem {
  try {
    return traced(itemOf(context, key, envelope, null), span);
  } catch (error) {
    return toProblem(error);
  }
}

function routeAndHand(context: ApiContext, items: readonly (Item | Problem)[]): Promise<readonly Outcome[]> {
  const routed = items.map((item) => (item instanceof Problem ? item : targetsOf(context, item)));
  if (!routed.some((targets) => targets instanceof Promise))
    return handAll(context, items, routed as (Targets | Problem)[]);
  return Promise.all(routed.map(orProblem)).then((targets) => handAll(context, items, targets));
}

/**
 * Hands all over in one turn of the event loop: a commit or a few. `routed`: where each goes, or why it is refused. No closure
 * that waits for the commit has the items: a batch's payloads are free once they are written into the message.
 */
function handAll(
  context: ApiContext,
  items: readonly (Item | Problem)[],
  routed: readonly (Targets | Problem)[],
): Promise<readonly Outcome[]> {
  const outcomes = new Array<Outcome>(items.length).fill(null);
  const requests: PublishRequest[] = [];
  const places: number[] = [];
  const handed: Promise<void>[] = [];
  for (const [index, item] of items.entries()) {
    const targets = routed[index] as Targets | Problem;
    if (item instanceof Problem) outcomes[index] = item;
    else if (targets instanceof Problem) outcomes[index] = targets;
    else if (isBroadcast(item)) {
      const broadcast = orProblem(hand(context, item, targets));
      handed.push(
        broadcast.then((outcome) => {
          outcomes[index] = outcome;
        }),
      );
    } else if (targets.length > 0) {
      places.push(index);
      requests.push({ ...item, targets });
    }
  }
  if (requests.length > 0) {
    const published = context.engine.publishMany(requests);
    handed.push(
      published.then((all) => {
        all.forEach((outcome, at) => {
          outcomes[places[at] as number] = outcome;
        });
      }),
    );
  }
  return Promise.all(handed).then(() => outcomes);
}

/** Where some were refused for now, the longest of their waits is the answer's Retry-After. */
function answerOf(
  context: ApiContext,
  request: FastifyRequest,
  reply: FastifyReply,
  uids: readonly (string | null)[],
  outcomes: readonly Outcome[],
  span: AcceptSpan | null,
): string {
  let refusedCount = 0;
  let retryAfterSeconds = 0;
  const texts = outcomes.map((outcome, index) => {
    if (!(outcome instanceof Problem))
      return `{"index":${index},"accepted":${acceptedText(context, uids[index] ?? null, outcome)}}`;
    count(context, outcome);
    refusedCount += 1;
    retryAfterSeconds = Math.max(retryAfterSeconds, retryAfterOf(outcome) ?? 0);
    const body = problemBody(outcome, request.id, context.engine.salt);
    return `{"index":${index},"error":${JSON.stringify(body)}}`;
  });
  span?.accepted({ "hookd.batch.size": outcomes.length, "hookd.batch.refused": refusedCount });
  if (retryAfterSeconds > 0) reply.header("retry-after", String(retryAfterSeconds));
  return `{"results":[${texts.join(",")}]}`;
}

async function orProblem<T>(work: T | Promise<T>): Promise<Awaited<T> | Problem> {
  try {
    return await work;
  } catch (error) {
    return toProblem(error);
  }
}
