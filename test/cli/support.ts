import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { execa } from "execa";
import type { Terminal } from "../../src/cli/terminal.ts";
import { safeText } from "../../src/lib/safe-text.ts";

const BIN = join(import.meta.dirname, "../../bin/hookd");
export const KEY = "hk_testtesttesttesttesttest";

/** The real executable, with nothing in its environment but what is given. */
export function hookd(
  args: readonly string[],
  options: { env?: Record<string, string>; input?: string } = {},
) {
  return execa(BIN, args, {
    env: { PATH: process.env.PATH ?? "", ...options.env },
    extendEnv: false,
    reject: false,
    stripFinalNewline: false,
    input: options.input ?? "",
  });
}

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Reply {
  readonly status?: number;
  readonly body?: unknown;
  /** In place of `body`, as it is. */
  readonly text?: string;
  readonly headers?: Record<string, string>;
  /** No answer comes. */
  readonly isSilent?: boolean;
}

/** Stands for the daemon where an answer has to be one that a daemon does not give on demand. */
export async function fakeApi(reply: (seen: Seen, index: number) => Reply) {
  const requests: Seen[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = "", url: path = "", headers } = request;
    const seen = { method, path, headers, body: Buffer.concat(chunks) };
    requests.push(seen);
    const given = reply(seen, requests.length - 1);
    if (given.isSilent === true) return;
    response.writeHead(given.status ?? 200, { "content-type": "application/json", ...given.headers });
    response.end(given.text ?? (given.body === undefined ? "" : JSON.stringify(given.body)));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const env = { HOOKD_SERVER: url, HOOKD_API_KEY: KEY };
  return {
    requests,
    url,
    bodies: () => requests.map(({ body }) => (body.length === 0 ? null : JSON.parse(body.toString()))),
    hookd: (...args: string[]) => hookd(args, { env }),
    hookdWith: (options: { env?: Record<string, string>; input?: string }, ...args: string[]) =>
      hookd(args, { ...options, env: { ...env, ...options.env } }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** Keeps what a command says. */
export function fakeTerminal(options: { isTable?: boolean; columns?: number } = {}) {
  const out: string[] = [];
  const err: string[] = [];
  const terminal: Terminal = {
    env: {},
    isTable: options.isTable ?? false,
    isInteractive: false,
    hasLiveErrors: false,
    columns: options.columns ?? 80,
    line: (text) => out.push(safeText(text)),
    cells: (cells, separator) =>
      out.push(
        cells
          .map(({ text, width = 0 }) => safeText(text).padEnd(width))
          .join(separator)
          .trimEnd(),
      ),
    json: (text) => out.push(text),
    note: (text) => err.push(text),
    rewrite: (text) => err.push(text),
  };
  return { terminal, out, err };
}
