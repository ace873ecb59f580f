import { Compile } from "typebox/compile";
import { expect } from "vitest";
import { OPERATIONAL_SCHEMAS } from "../../src/api/operational-schemas.ts";
import { OPERATOR_USER } from "../../src/domain/names.ts";
import { OPERATIONAL_EVENTS } from "../../src/domain/operational-event.ts";
import type { Webhook } from "../../src/domain/webhook.ts";
import type { EngineWorld } from "../support/engine-world.ts";
import type { Behaviour } from "../support/scripted-sender.ts";

const validators = new Map<string, ReturnType<typeof Compile>>(
  OPERATIONAL_EVENTS.map((eventId) => [eventId, Compile(OPERATIONAL_SCHEMAS[eventId].schema)]),
);

/** One of hookd's own events, as an operator's receiver got it. */
export interface OwnEvent {
  readonly uid: string;
  readonly type: string;
  readonly timestamp: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into events of any kind
  readonly data: any;
}

/** Registers for hookd's own events: from now on they are kept in `events`, each uid once. */
export async function operator(world: EngineWorld, eventId = "hookd.*", behaviour: Behaviour = {}) {
  const webhook = await world.webhook({ userId: OPERATOR_USER, eventId }, behaviour);
  return { webhook, events: () => eventsOf(world, webhook) };
}

/** In the order in which they first came. Each is as its schema in the OpenAPI document says. */
export function eventsOf(world: EngineWorld, webhook: Webhook): OwnEvent[] {
  const seen = new Map<string, OwnEvent>();
  for (const { order } of world.receivers.of(webhook.id)) {
    if (seen.has(order.eventUid)) continue;
    const body = JSON.parse(Buffer.from(order.payload).toString());
    const { type, timestamp, data } = body;
    expect(type).toBe(order.eventId);
    expect([...(validators.get(type)?.Errors(body) ?? ["no schema"])], JSON.stringify(body)).toEqual([]);
    seen.set(order.eventUid, { uid: order.eventUid, type, timestamp, data });
  }
  return [...seen.values()];
}

export function sumOfCounts(events: readonly OwnEvent[]): number {
  return events
    .filter(({ type }) => type === "hookd.delivery.dead")
    .reduce((sum, { data }) => sum + data.count, 0);
}
