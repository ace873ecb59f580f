import type { FastifyReply } from "fastify";
import type { IdPrefix, IdSalt } from "../domain/ids.ts";
import { formatId } from "../domain/ids.ts";
import { PROBLEMS, Problem, type ProblemCode } from "../domain/problem.ts";

const CONTENT_TYPE = "application/problem+json; charset=utf-8";

/** What fastify itself refuses, by its error code. */
const FASTIFY_CODES: Readonly<Record<string, ProblemCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: "payload_too_large",
  FST_ERR_CTP_INVALID_MEDIA_TYPE: "unsupported_media_type",
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: "bad_request",
  FST_ERR_CTP_EMPTY_JSON_BODY: "bad_request",
  FST_ERR_BAD_URL: "bad_request",
  FST_ERR_ASYNC_CONSTRAINT: "bad_request",
  FST_ERR_MAX_PARAM_LENGTH: "not_found",
};

const ID_MEMBERS: Readonly<Record<string, IdPrefix>> = {
  webhook_id: "wh",
  delivery_id: "dlv",
  job_id: "job",
};

/**
 * Whatever was thrown, as a problem for the caller. What nobody foresaw becomes `internal`, and tells nothing.
 * `bodyBytesMax`: what the call takes.
 */
export function toProblem(error: unknown, bodyBytesMax?: number): Problem {
  if (error instanceof Problem) return error;
  const { code, statusCode, message } = (error ?? {}) as {
    code?: unknown;
    statusCode?: unknown;
    message?: string;
  };
  const known = typeof code === "string" ? FASTIFY_CODES[code] : undefined;
  if (known === "payload_too_large") {
    const most = bodyBytesMax === undefined ? "" : `; ${bodyBytesMax} bytes are the most`;
    return new Problem(known, `the body is larger than this call takes${most}`);
  }
  if (known === "unsupported_media_type")
    return new Problem(known, "the content type cannot be read; write it like application/json");
  if (known !== undefined) return new Problem(known, message ?? PROBLEMS[known].title, { cause: error });
  if (typeof statusCode === "number" && statusCode >= 400 && statusCode < 500) {
    return new Problem("bad_request", message ?? PROBLEMS.bad_request.title, { cause: error });
  }
  return new Problem("internal", "hookd failed; its log has the details under this request_id", {
    cause: error,
  });
}

/** RFC 9457. The engine names objects by number; callers know their ids. */
export function problemBody(problem: Problem, requestId: string, salt: IdSalt): Record<string, unknown> {
  const { status, title, retryable } = PROBLEMS[problem.code];
  const body: Record<string, unknown> = {
    type: `urn:hookd:problem:${problem.code}`,
    title,
    status,
    code: problem.code,
    detail: problem.message,
    retryable,
    request_id: requestId,
  };
  for (const [name, value] of Object.entries(problem.details)) {
    const prefix = ID_MEMBERS[name];
    body[name] = prefix !== undefined && typeof value === "number" ? formatId(prefix, value, salt) : value;
  }
  return body;
}

/** Whole seconds after which the same request may be taken; null where there is no telling. */
export function retryAfterOf(problem: Problem): number | null {
  if (problem.retryAfterSeconds === null || !PROBLEMS[problem.code].retryable || problem.status === 500)
    return null;
  return Math.max(1, Math.ceil(problem.retryAfterSeconds));
}

/** A problem as it is answered, whoever writes it. */
export function problemAnswer(
  problem: Problem,
  requestId: string,
  salt: IdSalt,
): { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: string } {
  const headers: Record<string, string> = { "content-type": CONTENT_TYPE };
  const retryAfterSeconds = retryAfterOf(problem);
  if (retryAfterSeconds !== null) headers["retry-after"] = String(retryAfterSeconds);
  if (problem.code === "unauthorized") headers["www-authenticate"] = "Bearer";
  return { status: problem.status, headers, body: JSON.stringify(problemBody(problem, requestId, salt)) };
}

export function sendProblem(reply: FastifyReply, problem: Problem, salt: IdSalt): void {
  const { status, headers, body } = problemAnswer(problem, reply.request.id, salt);
  reply.code(status).headers(headers).send(body);
}
