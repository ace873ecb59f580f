import type { FastifyReply, FastifyRequest } from "fastify";
import { type DeliveryId, formatId, parseId } from "../domain/ids.ts";
import type { JobSpec, Selection } from "../domain/job.ts";
import type { ApiKey } from "../domain/key.ts";
import { Problem } from "../domain/problem.ts";
import type { GroupKey } from "../domain/query.ts";
import { keyOf, notFound, userForRead } from "./access.ts";
import type { Api, ApiContext } from "./context.ts";
import { deliveryFilterOf, invalid } from "./fields.ts";
import { answerPage } from "./lists.ts";
import * as schemas from "./schemas.ts";

const tag = "dlq";

/** The dead, and the bulk work over deliveries. */
export function dlqRoutes(api: Api, context: ApiContext): void {
  const { engine, render } = context;

  api.route({
    method: "GET",
    url: "/dlq",
    config: {
      operationId: "listDead",
      summary: "Deliveries that ended without success, or their counts",
      tag,
      scope: "read",
      problems: ["not_found", "invalid_cursor", "overloaded"],
    },
    schema: { querystring: schemas.DlqQuery, response: { 200: schemas.DlqAnswer } },
    async handler(request) {
      const key = keyOf(request);
      const { group, ...query } = request.query;
      const filter = { ...(await deliveryFilterOf(context, key, query)), statuses: ["dead"] as const };
      if (group !== undefined) {
        for (const name of ["cursor", "limit"] as const) {
          if (query[name] !== undefined)
            throw invalid(name, "does not go with group: groups come in one page");
        }
        const by = [...new Set(group.split(","))] as GroupKey[];
        const groups = await engine.deadGroups(filter, by);
        return { data: groups.map(render.deadGroup), next_cursor: null };
      }
      return answerPage(context, {
        list: "dlq",
        key,
        query,
        read: (page) => engine.listDeliveries(filter, page),
        show: (items) => items.map(render.delivery),
      });
    },
  });

  api.route({
    method: "POST",
    url: "/dlq/replay",
    config: {
      operationId: "replayDead",
      summary: "Deliver dead deliveries again, as a job",
      tag,
      scope: "manage",
      problems: ["empty_filter", "not_found"],
    },
    schema: { body: schemas.DlqReplay, response: { 200: schemas.DryRun, 202: schemas.JobStarted } },
    handler: (request, reply) =>
      startJob(request, reply, request.body, (userId, select) => ({
        kind: "replay",
        userId,
        select,
        ratePerSecond: request.body.rate ?? null,
      })),
  });

  api.route({
    method: "POST",
    url: "/dlq/purge",
    config: {
      operationId: "purgeDead",
      summary: "Delete dead deliveries, as a job",
      tag,
      scope: "manage",
      problems: ["empty_filter", "not_found"],
    },
    schema: { body: schemas.DlqPurge, response: { 200: schemas.DryRun, 202: schemas.JobStarted } },
    handler: (request, reply) =>
      startJob(request, reply, request.body, (userId, select) => ({ kind: "purge", userId, select })),
  });

  api.route({
    method: "POST",
    url: "/deliveries/replay",
    config: {
      operationId: "replayDeliveries",
      summary: "Deliver ended deliveries again, those that succeeded too, as a job",
      tag: "deliveries",
      scope: "manage",
      problems: ["empty_filter", "not_found"],
    },
    schema: { body: schemas.DeliveriesReplay, response: { 200: schemas.DryRun, 202: schemas.JobStarted } },
    handler: (request, reply) => {
      const { status } = request.body;
      return startJob(request, reply, request.body, (userId, select) => ({
        kind: "replay",
        userId,
        select: { ...select, statuses: status === undefined ? ["dead", "success"] : [status] },
        ratePerSecond: request.body.rate ?? null,
      }));
    },
  });

  async function startJob(
    request: FastifyRequest,
    reply: FastifyReply,
    body: schemas.SelectionBody,
    specOf: (userId: string | null, select: Selection) => JobSpec,
  ) {
    const key = keyOf(request);
    const select = await selectionOf(context, key, body);
    const spec = specOf(userForRead(key, body.user_id) ?? null, select);
    if (body.dry_run === true) {
      const { count, isExact } = await engine.countJob(spec);
      return { dry_run: true as const, count, is_exact: isExact };
    }
    const job_id = formatId("job", (await engine.createJob(spec)).id, engine.salt);
    reply.code(202).header("location", `/v1/jobs/${job_id}`);
    return { job_id };
  }
}

/** Either ids, or a filter, or, said in so many words, all. Nothing at all is refused: it would mean everything. */
async function selectionOf(
  context: ApiContext,
  key: ApiKey,
  body: schemas.SelectionBody,
): Promise<Selection> {
  const { ids, all, rate: _rate, dry_run: _dryRun, status: _status, user_id, ...rest } = body;
  const filters = Object.keys(rest);
  const isFiltered = filters.length > 0 || (key.userId === null && user_id !== undefined);
  if (ids !== undefined) {
    if (filters.length > 0 || all === true)
      throw invalid("ids", "does not go with a filter or with all: give one of them");
    return { ids: ids.map((id) => deliveryIdOf(context, id)) };
  }
  if (all === true && filters.length > 0)
    throw invalid("all", `does not go with ${filters[0]}: give one of them`);
  if (all !== true && !isFiltered) {
    throw new Problem(
      "empty_filter",
      "the filter is empty: give a filter, ids, or all: true to mean everything",
    );
  }
  const {
    userId: _,
    statuses: __,
    ...select
  } = await deliveryFilterOf(context, key, {
    ...rest,
    ...(user_id === undefined ? {} : { user_id }),
  });
  return select;
}

function deliveryIdOf(context: ApiContext, id: string): DeliveryId {
  const seq = parseId("dlv", id, context.engine.salt);
  if (seq === null) throw notFound("delivery", id);
  return seq as DeliveryId;
}
