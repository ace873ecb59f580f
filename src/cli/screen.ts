import { preferProduction } from "../config/environment.ts";
import type { DeadGroupBody, PageBody, WebhookBody } from "../http-api.ts";
import type { Api } from "../tui/api.ts";
import { parseInert } from "../tui/inert.ts";
import type { Screen } from "../tui/screen.ts";
import { type ApiRequest, type Client, segment } from "./client.ts";
import { orNull } from "./failure.ts";
import { readPause } from "./pause.ts";
import type { Terminal } from "./terminal.ts";

/** Whether there is a terminal to fill: both ends of it, and not one that knows no cursor. */
export function hasScreen(client: Client, terminal: Terminal): boolean {
  const isTerminal = terminal.isTable && process.stdin.isTTY === true && terminal.env.TERM !== "dumb";
  return isTerminal && !client.isJson && !client.isCurl;
}

/** Fills the terminal until the screen ends. Ink and React are loaded here and nowhere before: they take 100 ms. */
export async function showScreen(terminal: Terminal, create: () => Screen): Promise<void> {
  preferProduction();
  const { show } = await import("../tui/app.ts");
  const ending = await show(create(), (terminal.env.NO_COLOR ?? "") === "");
  if (ending === "interrupted") process.exitCode = 130;
}

/** Writes past Ink: a terminal draws nothing for it. */
export async function copyToClipboard(text: string): Promise<void> {
  const { clipboardSequence } = await import("../tui/clipboard.ts");
  process.stdout.write(clipboardSequence(text));
}

/** What screens ask, over this client. All texts of answers are inert from here on. */
export function apiOf(client: Client): Api {
  async function ask<T>(request: ApiRequest): Promise<T> {
    return parseInert<T>((await client.call(request)).text);
  }

  return {
    server: client.server,
    openStream: (query, signal) =>
      client.open({ method: "GET", path: "/stream", query: { ...query } }, signal),
    async metrics() {
      const chunks: Uint8Array[] = [];
      const request = { method: "GET", path: "/metrics", isUnversioned: true } as const;
      for await (const chunk of await client.open(request)) chunks.push(chunk);
      return Buffer.concat(chunks).toString("utf8");
    },
    delivery: (id) => ask({ method: "GET", path: `/deliveries/${segment(id)}` }),
    retry: (id) => ask({ method: "POST", path: `/deliveries/${segment(id)}/retry` }),
    webhook: (id) => orNull(ask<WebhookBody>({ method: "GET", path: `/webhooks/${segment(id)}` })),
    pause: async () => parseInert(JSON.stringify(await readPause(client))),
    async deadGroups(group) {
      return (await ask<PageBody<DeadGroupBody>>({ method: "GET", path: "/dlq", query: { group } })).data;
    },
    dead: ({ ids: _, ...filter }) => ask({ method: "GET", path: "/dlq", query: { ...filter, limit: 200 } }),
    countDead: (verb, selection) =>
      ask({ method: "POST", path: `/dlq/${verb}`, json: { ...selection, dry_run: true } }),
    startDead: (verb, selection) => ask({ method: "POST", path: `/dlq/${verb}`, json: selection }),
    job: (id) => ask({ method: "GET", path: `/jobs/${segment(id)}` }),
    webhooks: (query) => ask({ method: "GET", path: "/webhooks", query: { ...query, limit: 200 } }),
  };
}
