import { refusalProblem } from "../domain/refusal.ts";
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
      const { refusal } = context.engine;
      if (refusal !== null) throw refusalProblem(refusal);
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
