import { Type } from "typebox";
import { keyOf, seenJob, userForRead } from "./access.ts";
import type { Api, ApiContext } from "./context.ts";
import { answerPage } from "./lists.ts";
import * as schemas from "./schemas.ts";

const params = Type.Object({ id: schemas.JobIdText }, schemas.closed);
const tag = "jobs";

export function jobRoutes(api: Api, context: ApiContext): void {
  const { engine, render } = context;

  api.route({
    method: "GET",
    url: "/jobs",
    config: {
      operationId: "listJobs",
      summary: "Jobs, newest first",
      tag,
      scope: "manage",
      problems: ["not_found", "invalid_cursor"],
    },
    schema: {
      querystring: Type.Object(
        { user_id: Type.Optional(schemas.OwnerId), ...schemas.paging },
        schemas.closed,
      ),
      response: { 200: schemas.JobList },
    },
    handler(request) {
      const key = keyOf(request);
      const userId = userForRead(key, request.query.user_id) ?? null;
      return answerPage(context, {
        list: "jobs",
        key,
        query: request.query,
        read: (page) => engine.listJobs(userId, page),
        show: (items) => items.map(render.job),
      });
    },
  });

  api.route({
    method: "GET",
    url: "/jobs/:id",
    config: {
      operationId: "getJob",
      summary: "A job's progress",
      tag,
      scope: "manage",
      problems: ["not_found"],
    },
    schema: { params, response: { 200: schemas.Job } },
    async handler(request) {
      return render.job(await seenJob(context, keyOf(request), request.params.id));
    },
  });

  api.route({
    method: "POST",
    url: "/jobs/:id/cancel",
    config: {
      operationId: "cancelJob",
      summary: "Stop a job; what it did stays done",
      tag,
      scope: "manage",
      problems: ["not_found", "not_retryable"],
    },
    schema: { params, response: { 200: schemas.Job } },
    async handler(request) {
      const { id } = await seenJob(context, keyOf(request), request.params.id);
      return render.job(await engine.cancelJob(id));
    },
  });
}
