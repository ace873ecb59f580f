import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isLoopbackHost } from "../config/kinds.ts";
import { VERSION } from "../version.ts";
import { curlOf } from "./curl.ts";
import { Failure, Finished, messageOf } from "./failure.ts";
import type { Terminal } from "./terminal.ts";

/** What every command that talks to the daemon takes. */
export interface ClientOptions {
  readonly server?: string;
  readonly key?: string;
  readonly dataDir?: string;
  readonly json?: boolean;
  readonly curl?: boolean;
}

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Below /v1, its variable parts encoded: see `segment`. */
  readonly path: string;
  /** The path is not below /v1: /metrics. */
  readonly isUnversioned?: boolean;
  /** Those undefined are left out. */
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly json?: unknown;
  readonly bytes?: Uint8Array<ArrayBuffer>;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ApiAnswer<T> {
  readonly status: number;
  /** As it came. */
  readonly text: string;
  readonly body: T;
  /** What it asked to wait, in seconds: an answer to a batch may take some items and refuse others for now. */
  readonly retryAfterSeconds: number | null;
}

export interface Client {
  readonly isJson: boolean;
  readonly isCurl: boolean;
  /** Whom it asks, to be shown. */
  readonly server: string;
  /**
   * Resolves with an answer of 2xx, and throws a Failure for all else. With --curl it prints the request instead of
   * sending it, and throws Finished.
   */
  call<T>(request: ApiRequest): Promise<ApiAnswer<T>>;
  /**
   * The same for an answer that goes on, or that is no JSON: resolves with its bytes as they come, once a 2xx has begun.
   * They end, or throw a Failure, when the connection does; `signal` ends it from here.
   */
  open(request: ApiRequest, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
}

const DEFAULT_SERVER = "http://127.0.0.1:8420";
export const DEFAULT_DATA_DIR = "./hookd-data";
/** Longer than an attempt may take (30 s), which `webhooks test` waits for. */
const ANSWER_TIMEOUT_MS = 45_000;
/** A page of 200 deliveries has about 100 KB; the OpenAPI document about 200 KB. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

export function createClient(options: ClientOptions, terminal: Terminal): Client {
  const server = serverOf(options, terminal);
  let key: string | null = null;

  async function send(request: ApiRequest, url: URL, signal: AbortSignal): Promise<Response> {
    key ??= findKey(options, terminal, server);
    const body = request.bytes ?? (request.json === undefined ? undefined : JSON.stringify(request.json));
    try {
      return await fetch(url, {
        method: request.method,
        headers: {
          ...headersOf(request),
          authorization: `Bearer ${key}`,
          "user-agent": `hookd-cli/${VERSION}`,
        },
        ...(body === undefined ? {} : { body }),
        // A redirect would carry the key to wherever it points.
        redirect: "error",
        signal,
      });
    } catch (error) {
      throw unreachable(server, error);
    }
  }

  function urlToSend(request: ApiRequest): URL {
    const url = urlOf(server, request);
    if (options.curl !== true) return url;
    terminal.line(curlOf(request.method, url, headersOf(request), request.bytes ?? request.json));
    throw new Finished();
  }

  async function call<T>(request: ApiRequest): Promise<ApiAnswer<T>> {
    const response = await send(request, urlToSend(request), AbortSignal.timeout(ANSWER_TIMEOUT_MS));
    const text = await readText(response, server);
    const body = parseJson(text);
    if (!response.ok) throw refused(response, body, server);
    if (body === undefined && text !== "") throw noHookd(server, response.status);
    const retryAfterSeconds = retryAfterOf(response);
    return { status: response.status, text, body: body as T, retryAfterSeconds };
  }

  async function open(request: ApiRequest, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const begin = deadlineOf(ANSWER_TIMEOUT_MS);
    try {
      const signals = signal === undefined ? [begin.signal] : [begin.signal, signal];
      const response = await send(request, urlToSend(request), AbortSignal.any(signals));
      if (!response.ok) throw refused(response, parseJson(await readText(response, server)), server);
      return bytesOf(response, server);
    } finally {
      // What goes on after its begin has no deadline.
      begin.clear();
    }
  }

  const { json: isJson = false, curl: isCurl = false } = options;
  return { isJson, isCurl, server: server.origin, call, open };
}

/** One part of a path: what the command line names may be anything. */
export function segment(text: string): string {
  // A URL takes these for steps up and down, encoded or not.
  if (text === "" || text === "." || text === "..") {
    throw new Failure(`"${text}" is no id`, { exitCode: 2, hint: "the list commands show ids" });
  }
  return encodeURIComponent(text);
}

function headersOf(request: ApiRequest): Record<string, string> {
  const contentType = request.contentType ?? (request.json === undefined ? undefined : "application/json");
  return { ...(contentType === undefined ? {} : { "content-type": contentType }), ...request.headers };
}

function serverOf(options: ClientOptions, terminal: Terminal): URL {
  const text = options.server ?? (terminal.env.HOOKD_SERVER || DEFAULT_SERVER);
  const where = options.server === undefined ? "HOOKD_SERVER" : "--server";
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    throw new Failure(`${where}: "${text}" is no http or https URL`, {
      exitCode: 2,
      hint: `for example: --server ${DEFAULT_SERVER}`,
    });
  }
  return new URL(text);
}

function urlOf(server: URL, request: ApiRequest): URL {
  const version = request.isUnversioned === true ? "" : "/v1";
  const url = new URL(`${server.pathname.replace(/\/+$/, "")}${version}${request.path}`, server);
  for (const [name, value] of Object.entries(request.query ?? {})) {
    if (value !== undefined) url.searchParams.set(name, String(value));
  }
  return url;
}

/** The key that was given, or the admin key that the daemon left in its data directory. */
function findKey(options: ClientOptions, terminal: Terminal, server: URL): string {
  const given = options.key ?? terminal.env.HOOKD_API_KEY;
  if (given !== undefined && given !== "")
    return checkKey(given, options.key === undefined ? "HOOKD_API_KEY" : "--key");
  const named = options.dataDir ?? (terminal.env.HOOKD_DATA_DIR || undefined);
  const file = join(named ?? DEFAULT_DATA_DIR, "admin.key");
  // The local daemon's admin key must not go to another machine just because the working directory has one.
  if (named === undefined && !isLoopbackHost(server.hostname.replace(/^\[|\]$/g, ""))) {
    throw new Failure(`no API key for ${server.origin}`, {
      hint: "give one with --key or HOOKD_API_KEY; `hookd keys create`, run beside that hookd, makes one",
    });
  }
  try {
    return checkKey(readFileSync(file, "utf8").trim(), file);
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(`no API key: ${file} cannot be read (${messageOf(error)})`, {
      hint:
        "the daemon makes it at its first start: start one with `hookd serve`, or name its data directory with " +
        "--data-dir, or give a key with --key or HOOKD_API_KEY",
      cause: error,
    });
  }
}

/** Never shows the key. */
function checkKey(text: string, where: string): string {
  if (/^[\x21-\x7e]{1,256}$/.test(text)) return text;
  throw new Failure(`${where}: this is no API key: one is a single word of printable characters, hk_...`, {
    exitCode: 2,
  });
}

/** As AbortSignal.timeout, but can be called off. */
function deadlineOf(ms: number): { signal: AbortSignal; clear(): void } {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(new DOMException("no answer", "TimeoutError")), ms);
  return { signal: controller.signal, clear: () => clearTimeout(timer) };
}

async function* bytesOf(response: Response, server: URL): AsyncGenerator<Uint8Array> {
  try {
    yield* response.body ?? [];
  } catch (error) {
    throw unreachable(server, error);
  }
}

async function readText(response: Response, server: URL): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length;
      if (bytes > ANSWER_BYTES_MAX) throw new Error(`the answer has more than ${ANSWER_BYTES_MAX} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    throw unreachable(server, error);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

interface ProblemBody {
  readonly code: string;
  readonly detail?: string;
  readonly title?: string;
  readonly webhook_id?: string;
  readonly scope?: string;
}

function refused(response: Response, body: unknown, server: URL): Failure {
  if (!isProblem(body)) return noHookd(server, response.status);
  const detail = body.detail ?? body.title ?? "refused";
  return new Failure(`${detail} (${response.status} ${body.code})`, {
    hint: hintFor(response, body),
    code: body.code,
    retryAfterSeconds: retryAfterOf(response),
    isPassing: isPassing(response.status),
  });
}

/** hookd gives whole seconds. */
function retryAfterOf(response: Response): number | null {
  const text = response.headers.get("retry-after") ?? "";
  return /^\d{1,9}$/.test(text) ? Number(text) : null;
}

function isPassing(status: number): boolean {
  return status === 429 || status >= 500;
}

function isProblem(body: unknown): body is ProblemBody {
  return typeof body === "object" && body !== null && "code" in body && typeof body.code === "string";
}

function hintFor(response: Response, problem: ProblemBody): string | null {
  if (problem.code === "unauthorized") {
    return (
      "the daemon's own key is in admin.key in its data directory (--data-dir); others come from " +
      "`hookd keys create`; give one with --key or HOOKD_API_KEY"
    );
  }
  if (problem.code === "forbidden") {
    if (problem.scope === "admin")
      return "the daemon leaves one in admin.key in its data directory (--data-dir)";
    const wanted = problem.scope === undefined ? "a key of that user" : "a key with that scope";
    return `use ${wanted}, or an admin key: \`hookd keys list\` shows them`;
  }
  if (problem.code === "paused") return "let it send again, everything that waits, with: hookd resume";
  if (problem.code === "webhook_exists" && problem.webhook_id !== undefined) {
    return `change it with \`hookd webhooks update ${problem.webhook_id}\`, or replace it with --replace`;
  }
  const retryAfter = retryAfterOf(response);
  return retryAfter === null ? null : `try again in ${retryAfter} s`;
}

function unreachable(server: URL, error: unknown): Failure {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const code = typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : "";
  if (code === "ECONNREFUSED") {
    return new Failure(`nothing listens at ${server.origin}`, {
      hint: "is hookd running? start it with: hookd serve (or name another address with --server)",
      isPassing: true,
      cause: error,
    });
  }
  if (error instanceof Error && error.name === "TimeoutError") {
    return new Failure(`${server.origin} did not answer within ${ANSWER_TIMEOUT_MS / 1000} s`, {
      isPassing: true,
      cause: error,
    });
  }
  return new Failure(`${server.origin} cannot be asked: ${messageOf(cause)}`, {
    hint: "check --server (HOOKD_SERVER)",
    isPassing: true,
    cause: error,
  });
}

function noHookd(server: URL, status: number): Failure {
  return new Failure(`${server.origin} answered ${status}, and not as hookd does`, {
    hint: "check --server (HOOKD_SERVER): something else may listen there",
    isPassing: isPassing(status),
  });
}
