import type { DeliveryBody, SettledBody, StreamCountsBody, WebhookBody } from "../../src/http-api.ts";
import type { Api, WatchQuery } from "../../src/tui/api.ts";
import { deliveryBody, webhookBody } from "../support/api-bodies.ts";

const text = new TextEncoder();

/** A daemon as the screens see it, whose stream and answers a test decides. */
export function fakeApi() {
  const streams = new Set<ReadableStreamDefaultController<Uint8Array>>();
  const answers = {
    delivery: deliveryBody() as DeliveryBody,
    webhooks: [webhookBody()] as readonly WebhookBody[],
    metrics: "",
  };
  const asked: string[] = [];

  function send(event: string, data: unknown): void {
    for (const stream of streams)
      stream.enqueue(text.encode(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`));
  }

  const api: Api = {
    server: "http://127.0.0.1:8420",
    async openStream(query: WatchQuery, signal) {
      asked.push(`stream ${JSON.stringify(query)}`);
      let controller: ReadableStreamDefaultController<Uint8Array>;
      const stream = new ReadableStream<Uint8Array>({
        start(given) {
          controller = given;
          streams.add(given);
        },
      });
      signal.addEventListener("abort", () => {
        if (!streams.delete(controller)) return;
        controller.close();
      });
      return stream;
    },
    metrics: async () => answers.metrics,
    async delivery(id) {
      asked.push(`delivery ${id}`);
      return answers.delivery;
    },
    async retry(id) {
      asked.push(`retry ${id}`);
      return answers.delivery;
    },
    webhook: async () => webhookBody(),
    pause: async () => null,
    deadGroups: async () => [],
    dead: async () => ({ data: [], next_cursor: null }),
    countDead: async () => ({ count: 0, is_exact: true }),
    startDead: async () => ({ job_id: "job_1" }),
    job: async (id) => ({
      id,
      kind: "replay",
      status: "done",
      total: 0,
      done: 0,
      created_at: "",
      completed_at: "",
    }),
    webhooks: async () => ({ data: answers.webhooks, next_cursor: null }),
  };
  return {
    api,
    answers,
    asked,
    attempt: (settled: SettledBody) => send("attempt", settled),
    counts: (counts: StreamCountsBody) => send("counts", counts),
    skipped: (count: number) => send("skipped", { count }),
    streams: () => streams.size,
  };
}
