import { Type } from "typebox";
import type { EventView } from "../engine/port.ts";
import { keyOf, notFound, userForOne } from "./access.ts";
import { JSON_TYPE } from "./bodies.ts";
import type { Api, ApiContext } from "./context.ts";
import { checkJson } from "./envelope.ts";
import { time } from "./render.ts";
import * as schemas from "./schemas.ts";

export function eventRoutes(api: Api, context: ApiContext): void {
  const { engine, render } = context;

  api.route({
    method: "GET",
    url: "/events/:event_uid",
    config: {
      operationId: "getEvent",
      summary: "An event, its payload and its deliveries",
      tag: "events",
      scope: "read",
      problems: ["not_found"],
    },
    schema: {
      params: Type.Object({ event_uid: Type.String({ description: "The event's uid." }) }, schemas.closed),
      querystring: Type.Object({ user_id: Type.Optional(schemas.EventOwnerId) }, schemas.closed),
      response: { 200: schemas.Event },
    },
    async handler(request, reply) {
      const uid = request.params.event_uid;
      const userId = userForOne(keyOf(request), request.query.user_id);
      const event = await engine.getEvent(userId, uid);
      if (event === null) throw notFound("event", uid);
      reply.header("content-type", "application/json; charset=utf-8");
      return show(event);
    },
  });

  /** Written by hand for the payload's sake: JSON goes out as the bytes that came in. */
  function show(event: EventView): string {
    const text = jsonText(event);
    const shown = JSON.stringify({
      event_uid: render.eventUid(event.event, event.uid),
      event_id: event.eventId,
      user_id: event.userId,
      content_type: event.contentType,
      payload_encoding: text === null ? "base64" : "json",
      created_at: time(event.createdAt),
      delivery_count: event.deliveryCount,
      deliveries: event.deliveries.map(render.delivery),
    });
    const payload = text ?? `"${Buffer.from(event.payload).toString("base64")}"`;
    return `${shown.slice(0, -1)},"payload":${payload}}`;
  }
}

/** The payload as text, if it says that it is JSON and is. */
function jsonText(event: EventView): string | null {
  if (!JSON_TYPE.test(event.contentType)) return null;
  const bytes = Buffer.from(event.payload.buffer, event.payload.byteOffset, event.payload.byteLength);
  try {
    checkJson(bytes);
  } catch {
    // Published through /publish, where any bytes may call themselves JSON.
    return null;
  }
  return bytes.toString("utf8");
}
