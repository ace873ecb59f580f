import type { FastifyReply, FastifyRequest } from "fastify";
import { Type } from "typebox";
import { Problem, REFUSALS } from "../domain/problem.ts";
import type { AcceptSpan } from "./accept-tracing.ts";
import { keyOf } from "./access.ts";
import type { Api, ApiContext } from "./context.ts";
import { parseBatch, parseEnvelope } from "./envelope.ts";
import { toProblem } from "./problems.ts";
import { publishBatch } from "./publish-batch.ts";
import {
  ANSWER_TYPE,
  accepted,
  bytesOf,
  checkRate,
  contentTypeOf,
  count,
  ENVELOPE_BYTES,
  hand,
  type Item,
  itemOf,
  targetsOf,
  traced,
  uidHeader,
} from "./publishing.ts";
import * as schemas from "./schemas.ts";
import { compileValidator } from "./validate.ts";

const tag = "events";

const publishProblems = ["invalid_json", "invalid_uid", "uid_conflict", ...REFUSALS] as const;

/**
 * Publishing, as the OpenAPI document has it. What most publishers send, and what is good, never comes here: it takes
 * the short way (publish-fast.ts). No schema runs over the body: the scanner checks what the schema says, and a test
 * holds the two together.
 */
export function publishEventRoutes(api: Api, context: ApiContext): void {
  const { payloadBytes, batchBytes } = context.config.limits;
  const validatorCompiler = skipBody;

  api.route({
    method: "POST",
    url: "/events",
    bodyLimit: payloadBytes + ENVELOPE_BYTES,
    validatorCompiler,
    config: {
      operationId: "publishEvent",
      summary: "Publish an event",
      tag,
      scope: "publish",
      isPublish: true,
      readsHeaders: ["idempotency-key", "traceparent"],
      problems: publishProblems,
    },
    schema: { body: schemas.EventPublish, response: { 202: schemas.Accepted } },
    handler(request, reply) {
      const key = keyOf(request);
      checkRate(context, key, 1);
      const envelope = parseEnvelope(bytesOf(request.body));
      publish(context, request, reply, itemOf(context, key, envelope, uidHeader(request.headers)));
    },
  });

  api.route({
    method: "POST",
    url: "/events/batch",
    bodyLimit: batchBytes,
    validatorCompiler,
    config: {
      operationId: "publishEvents",
      summary:
        "Publish up to 1,000 events; each is accepted or refused for itself, and Retry-After says when to send those again that were refused for now",
      tag,
      scope: "publish",
      isPublish: true,
      bodyTypes: ["application/json", "application/x-ndjson"],
      readsHeaders: ["traceparent"],
      problems: publishProblems,
    },
    schema: { body: schemas.EventBatch, response: { 202: schemas.BatchAnswer } },
    handler(request, reply) {
      if (request.headers["idempotency-key"] !== undefined) {
        throw new Problem(
          "invalid_uid",
          "Idempotency-Key names one event, not a batch: give each event its event_uid",
          {
            details: { field: "Idempotency-Key" },
          },
        );
      }
      const key = keyOf(request);
      const items = parseBatch(bytesOf(request.body));
      if (items.length === 0) throw new Problem("bad_request", "the batch is empty: send at least one event");
      checkRate(context, key, items.length);
      // Kept with the request it would wait for the commit, when all that is in it has long been handed over.
      (request as FastifyRequest).body = null;
      publishBatch(context, request, reply, key, items).then(
        (text) => answer(reply, text),
        fail(context, reply, null),
      );
    },
  });
}

/** The body is the payload: nothing of it is looked at. */
export function publishRawRoutes(api: Api, context: ApiContext): void {
  const { payloadBytes } = context.config.limits;

  api.route({
    method: "POST",
    url: "/publish/:event_id",
    bodyLimit: payloadBytes,
    config: {
      operationId: "publishPayload",
      summary: "Publish the body as an event's payload, with its content type: the fastest way in",
      tag,
      scope: "publish",
      isPublish: true,
      bodyTypes: ["application/json", "application/octet-stream", "*/*"],
      isBodyOptional: true,
      readsHeaders: ["idempotency-key", "traceparent"],
      problems: publishProblems,
    },
    schema: {
      params: Type.Object(
        { event_id: Type.String({ description: "The name of what happened." }) },
        schemas.closed,
      ),
      querystring: Type.Object({ user_id: Type.Optional(schemas.UserIdOrAll) }, schemas.closed),
      response: { 202: schemas.Accepted },
    },
    handler(request, reply) {
      const key = keyOf(request);
      checkRate(context, key, 1);
      const payload = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
      const envelope = {
        eventId: request.params.event_id,
        eventUid: null,
        userId: request.query.user_id ?? null,
        payload,
      };
      publish(
        context,
        request,
        reply,
        itemOf(context, key, envelope, uidHeader(request.headers), contentTypeOf(request.headers)),
      );
    },
  });
}

function publish(context: ApiContext, request: FastifyRequest, reply: FastifyReply, checked: Item): void {
  const span = context.tracing?.begin(request.headers) ?? null;
  const item = traced(checked, span);
  hand(context, item, targetsOf(context, item)).then(
    (result) => answer(reply, accepted(context, item, result, span)),
    fail(context, reply, span),
  );
}

function answer(reply: FastifyReply, text: string): void {
  reply.code(202).header("content-type", ANSWER_TYPE).send(text);
}

function fail(context: ApiContext, reply: FastifyReply, span: AcceptSpan | null): (error: unknown) => void {
  return (error) => {
    count(context, toProblem(error));
    span?.refused(toProblem(error));
    reply.send(error);
  };
}

/** The body's schema is for the OpenAPI document: what it says is checked by the scanner. */
function skipBody(part: { schema: unknown; httpPart?: string }) {
  return part.httpPart === "body" ? (value: unknown) => ({ value }) : compileValidator(part);
}
