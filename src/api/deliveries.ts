import { Type } from "typebox";
import { keyOf, seenDelivery, seenDeliveryWithAttempts } from "./access.ts";
import type { Api, ApiContext } from "./context.ts";
import { deliveryFilterOf } from "./fields.ts";
import { answerPage } from "./lists.ts";
import { attempt } from "./render.ts";
import * as schemas from "./schemas.ts";

const params = Type.Object({ id: schemas.DeliveryIdText }, schemas.closed);
const tag = "deliveries";

/** The log of one webhook: lives under /webhooks, and so under the unversioned path too. */
export function webhookDeliveryRoutes(api: Api, context: ApiContext): void {
  const { webhook_id: _, ...filter } = schemas.deliveryFilter;
  api.route({
    method: "GET",
    url: "/webhooks/:id/deliveries",
    config: {
      operationId: "listWebhookDeliveries",
      summary: "A webhook's deliveries, newest first",
      tag,
      scope: "read",
      problems: ["not_found", "invalid_cursor", "overloaded"],
    },
    schema: {
      params: Type.Object({ id: schemas.WebhookIdText }, schemas.closed),
      querystring: Type.Object({ ...filter, ...schemas.paging }, schemas.closed),
      response: { 200: schemas.DeliveryList },
    },
    handler: (request) =>
      listDeliveries(context, request, { ...request.query, webhook_id: request.params.id }),
  });
}

export function deliveryRoutes(api: Api, context: ApiContext): void {
  const { engine, render } = context;

  api.route({
    method: "GET",
    url: "/deliveries",
    config: {
      operationId: "listDeliveries",
      summary: "Deliveries, newest first",
      tag,
      scope: "read",
      problems: ["not_found", "invalid_cursor", "overloaded"],
    },
    schema: { querystring: schemas.deliveryQuery(), response: { 200: schemas.DeliveryList } },
    handler: (request) => listDeliveries(context, request, request.query),
  });

  api.route({
    method: "GET",
    url: "/deliveries/:id",
    config: {
      operationId: "getDelivery",
      summary: "A delivery with every attempt",
      tag,
      scope: "read",
      problems: ["not_found"],
    },
    schema: { params, response: { 200: schemas.DeliveryWithAttempts } },
    async handler(request) {
      const found = await seenDeliveryWithAttempts(context, keyOf(request), request.params.id);
      return { ...render.delivery(found.delivery), attempts: found.attempts.map(attempt) };
    },
  });

  api.route({
    method: "POST",
    url: "/deliveries/:id/retry",
    config: {
      operationId: "retryDelivery",
      summary: "Make an open delivery due now, or replay a dead one",
      tag,
      scope: "manage",
      problems: ["not_found", "already_delivered"],
    },
    schema: { params, response: { 200: schemas.Delivery } },
    async handler(request) {
      const { id } = await seenDelivery(context, keyOf(request), request.params.id);
      return render.delivery(await engine.retryDelivery(id));
    },
  });

  api.route({
    method: "POST",
    url: "/deliveries/:id/cancel",
    config: {
      operationId: "cancelDelivery",
      summary: "End an open delivery as cancelled",
      tag,
      scope: "manage",
      problems: ["not_found", "not_open"],
    },
    schema: { params, response: { 200: schemas.Delivery } },
    async handler(request) {
      const { id } = await seenDelivery(context, keyOf(request), request.params.id);
      return render.delivery(await engine.cancelDelivery(id));
    },
  });
}

async function listDeliveries(
  context: ApiContext,
  request: Parameters<typeof keyOf>[0],
  query: schemas.DeliveryFilterQuery,
) {
  const key = keyOf(request);
  const filter = await deliveryFilterOf(context, key, query);
  return answerPage(context, {
    list: "deliveries",
    key,
    query,
    read: (page) => context.engine.listDeliveries(filter, page),
    show: (items) => items.map(context.render.delivery),
  });
}
