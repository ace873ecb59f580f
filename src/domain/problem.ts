/**
 * The one table of errors that hookd gives to its callers. `code` is stable and documented (docs/ERRORS.md is checked
 * against this table); `status` is the HTTP status; `retryable` says whether the same call may succeed later.
 */
export const PROBLEMS = {
  bad_request: { status: 400, retryable: false, title: "The request is not understood" },
  invalid_json: { status: 400, retryable: false, title: "The body is not valid JSON" },
  invalid_field: { status: 400, retryable: false, title: "A field has a wrong value" },
  unknown_field: { status: 400, retryable: false, title: "A field is not known" },
  invalid_cursor: {
    status: 400,
    retryable: false,
    title: "The cursor is damaged or belongs to another list",
  },
  invalid_url: { status: 400, retryable: false, title: "The callback URL is refused" },
  invalid_header: { status: 400, retryable: false, title: "A header is refused" },
  invalid_secret: { status: 400, retryable: false, title: "The secret is refused" },
  invalid_uid: { status: 400, retryable: false, title: "The event uid or Idempotency-Key is refused" },
  empty_filter: { status: 400, retryable: false, title: "The filter is empty" },
  unauthorized: { status: 401, retryable: false, title: "No valid API key" },
  forbidden: { status: 403, retryable: false, title: "The API key may not do this" },
  not_found: { status: 404, retryable: false, title: "There is no such object" },
  method_not_allowed: { status: 405, retryable: false, title: "The path does not take this method" },
  request_timeout: { status: 408, retryable: true, title: "The request came too slowly" },
  webhook_exists: { status: 409, retryable: false, title: "The user has a webhook for this event already" },
  uid_conflict: { status: 409, retryable: false, title: "The event uid was used for another event" },
  already_delivered: { status: 409, retryable: false, title: "The delivery succeeded already" },
  not_open: { status: 409, retryable: false, title: "The delivery has ended already" },
  not_retryable: { status: 409, retryable: false, title: "The job can no longer be changed" },
  paused: { status: 409, retryable: false, title: "hookd as a whole is paused, and sends nothing" },
  backup_running: { status: 409, retryable: true, title: "Another backup is being made" },
  backup_exists: { status: 409, retryable: false, title: "There is a backup of that name already" },
  payload_too_large: { status: 413, retryable: false, title: "The body is too large" },
  unsupported_media_type: { status: 415, retryable: false, title: "The content type is not taken here" },
  headers_too_large: { status: 431, retryable: false, title: "The request's headers are too large" },
  lane_full: { status: 429, retryable: true, title: "The webhook's backlog is at its limit" },
  user_full: { status: 429, retryable: true, title: "The user's backlog is at its limit" },
  rate_limited: { status: 429, retryable: true, title: "The API key publishes too fast" },
  too_many_failures: { status: 429, retryable: true, title: "Too many failed attempts to authenticate" },
  queue_full: { status: 503, retryable: true, title: "The queue is at its limit" },
  overloaded: { status: 503, retryable: true, title: "More is waiting to be stored than hookd takes" },
  disk_full: { status: 503, retryable: true, title: "The disk is full, or nearly" },
  store_unavailable: { status: 503, retryable: true, title: "The store does not answer" },
  shutting_down: { status: 503, retryable: true, title: "hookd is stopping" },
  internal: { status: 500, retryable: true, title: "hookd failed" },
} as const;

export type ProblemCode = keyof typeof PROBLEMS;

/** What an event is refused with at a limit: 429 and 503. */
export const REFUSALS = [
  "lane_full",
  "user_full",
  "rate_limited",
  "queue_full",
  "overloaded",
  "disk_full",
  "store_unavailable",
  "shutting_down",
] as const satisfies readonly ProblemCode[];

/** An operating error on its way to a caller. Carries no secret and no bytes of a receiver. */
export class Problem extends Error {
  readonly code: ProblemCode;
  /** Extra members of the answer (RFC 9457 3.2), e.g. `{ field: "callback_url" }`. */
  readonly details: Readonly<Record<string, unknown>>;
  /** Seconds for the Retry-After header; only where the table says retryable. */
  readonly retryAfterSeconds: number | null;

  constructor(
    code: ProblemCode,
    detail: string,
    options: { details?: Record<string, unknown>; retryAfterSeconds?: number; cause?: unknown } = {},
  ) {
    super(detail, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "Problem";
    this.code = code;
    this.details = options.details ?? {};
    this.retryAfterSeconds = options.retryAfterSeconds ?? (PROBLEMS[code].retryable ? 1 : null);
  }

  get status(): number {
    return PROBLEMS[this.code].status;
  }
}
