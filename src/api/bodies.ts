import type { FastifyInstance, FastifyRequest } from "fastify";
import { Problem } from "../domain/problem.ts";
import { checkJson } from "./envelope.ts";

export const JSON_TYPE = /^application\/(?:json|[\w.+-]+\+json)[ \t]*(?:;|$)/i;
const LINES_TYPE = /^application\/(?:x-ndjson|ndjson|jsonl|x-jsonlines)[ \t]*(?:;|$)/i;

/** Bodies of all calls but publishing: 20 headers of 4 KiB, or 1,000 ids, fit well. */
export const BODY_BYTES_MAX = 256 * 1_024;

type Done = (error: Error | null, body?: unknown) => void;

/**
 * fastify's own parser is not used: ours checks UTF-8 and depth before anything is built. `__proto__` is an unknown
 * field like any other: JSON.parse makes a plain property of it, and the schemas refuse it.
 */
export function takeJson(api: FastifyInstance): void {
  take(
    api,
    (type) => type === undefined || JSON_TYPE.test(type),
    "application/json",
    (body) => {
      if (body.length === 0) return undefined;
      checkJson(body);
      return JSON.parse(body.toString("utf8"));
    },
  );
}

/** The body's bytes, of JSON or of lines of it. */
export function takeEvents(api: FastifyInstance): void {
  const isTaken = (type: string | undefined) =>
    type === undefined || JSON_TYPE.test(type) || LINES_TYPE.test(type);
  take(api, isTaken, "application/json or application/x-ndjson", (body) => body);
}

/** The body's bytes, whatever they are. */
export function takeAnything(api: FastifyInstance): void {
  take(
    api,
    () => true,
    "",
    (body) => body,
  );
}

function take(
  api: FastifyInstance,
  isTaken: (type: string | undefined) => boolean,
  wanted: string,
  read: (body: Buffer) => unknown,
): void {
  api.removeAllContentTypeParsers();
  api.addContentTypeParser(
    "*",
    { parseAs: "buffer" },
    (request: FastifyRequest, body: Buffer, done: Done) => {
      const { "content-type": type, "content-encoding": encoding = "identity" } = request.headers;
      if (encoding !== "identity") {
        // Kept as it is, a receiver would get compressed bytes that nothing calls compressed.
        done(
          new Problem(
            "unsupported_media_type",
            `the content encoding ${encoding} is not taken; send plain bytes`,
          ),
        );
        return;
      }
      if (!isTaken(type)) {
        done(
          new Problem("unsupported_media_type", `the content type ${type} is not taken here; send ${wanted}`),
        );
        return;
      }
      try {
        done(null, read(body));
      } catch (error) {
        done(error as Error);
      }
    },
  );
}
