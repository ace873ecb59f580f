import { Problem } from "../domain/problem.ts";
import type { Engine } from "../engine/port.ts";
import type { Api, ApiContext } from "./context.ts";
import { shownPause } from "./pause.ts";
import * as schemas from "./schemas.ts";

const tag = "system";

export function systemRoutes(api: Api, context: ApiContext): void {
  api.route({
    method: "GET",
    url: "/healthz",
    config: { operationId: "getHealth", summary: "Whether the process is alive", tag, scope: "open" },
    schema: { response: { 200: schemas.Health } },
    handler: async () => ({ status: "ok", version: context.version }),
  });

  api.route({
    method: "GET",
    url: "/readyz",
    config: {
      operationId: "getReadiness",
      summary: "Whether events are taken now, and whether deliveries go out",
      tag,
      scope: "open",
      problems: ["store_unavailable", "disk_full", "shutting_down"],
    },
    schema: { response: { 200: schemas.Ready } },
    async handler() {
      const problem = refusalOf(context.engine.refusal);
      if (problem !== null) throw problem;
      return { status: "ready", paused: shownPause(await context.engine.getPause()) };
    },
  });

  api.route({
    method: "GET",
    url: "/metrics",
    config: {
      operationId: "getMetrics",
      summary: "Prometheus metrics; without a key from loopback",
      tag,
      scope: "metrics",
      answerType: "text/plain",
    },
    schema: { response: { 200: schemas.Metrics } },
    async handler(_request, reply) {
      reply.header("content-type", "text/plain; version=0.0.4; charset=utf-8");
      return context.metrics();
    },
  });
}

export function openApiRoute(api: Api, document: () => Record<string, unknown>): void {
  let text: string | null = null;
  api.route({
    method: "GET",
    url: "/v1/openapi.json",
    config: { operationId: "getOpenApi", summary: "This document", tag, scope: "open" },
    schema: { response: { 200: schemas.OpenApi } },
    async handler(_request, reply) {
      text ??= JSON.stringify(document());
      reply.header("content-type", "application/json; charset=utf-8");
      return text;
    },
  });
}

/** Why an event that comes now is not even read; null where it is. Whoever is full is still ready. */
export function publishRefusalOf({ refusal, isFull }: Pick<Engine, "refusal" | "isFull">): Problem | null {
  if (refusal === null && isFull)
    return new Problem("overloaded", "as many events wait to be stored as may: publish more slowly");
  return refusalOf(refusal);
}

/** Why no events are taken, as a problem; null while they are. */
export function refusalOf(refusal: Engine["refusal"]): Problem | null {
  switch (refusal) {
    case null:
      return null;
    case "starting":
      return new Problem("store_unavailable", "hookd is starting; try again in a moment");
    case "shutting_down":
      return new Problem("shutting_down", "hookd is stopping; try again when it is back", {
        retryAfterSeconds: 5,
      });
    case "disk_full":
      return new Problem("disk_full", "the disk is nearly full; no events are taken until there is room", {
        retryAfterSeconds: 30,
      });
    case "store_unavailable":
      return new Problem("store_unavailable", "the store does not answer; try again in a moment", {
        retryAfterSeconds: 5,
      });
    default:
      return refusal satisfies never;
  }
}
