interface FailureOptions {
  readonly hint?: string | null;
  readonly exitCode?: 1 | 2;
  readonly code?: string;
  readonly retryAfterSeconds?: number | null;
  readonly isPassing?: boolean;
  readonly cause?: unknown;
}

/** What a command ends with instead of its result: said on stderr, with what to do next. */
export class Failure extends Error {
  /** 1: it failed. 2: it was asked wrongly. */
  readonly exitCode: 1 | 2;
  readonly hint: string | null;
  /** The API's `code` where it was the API that refused: docs/ERRORS.md lists them. */
  readonly code: string | null;
  /** What the API asked to wait, in seconds. */
  readonly retryAfterSeconds: number | null;
  /** The same call may succeed later: nothing answered, or hookd was busy or stopping. */
  readonly isPassing: boolean;

  constructor(message: string, options: FailureOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "Failure";
    this.exitCode = options.exitCode ?? 1;
    this.hint = options.hint ?? null;
    this.code = options.code ?? null;
    this.retryAfterSeconds = options.retryAfterSeconds ?? null;
    this.isPassing = options.isPassing ?? false;
  }
}

/** Ends a command early and well: with --curl there is nothing left to do once the request is printed. */
export class Finished extends Error {}

/** Null where the API has no such thing. */
export async function orNull<T>(call: Promise<T>): Promise<T | null> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof Failure && error.code === "not_found") return null;
    throw error;
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
