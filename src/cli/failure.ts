/** What a command ends with instead of its result: said on stderr, with what to do next. */
export class Failure extends Error {
  /** 1: it failed. 2: it was asked wrongly. */
  readonly exitCode: 1 | 2;
  readonly hint: string | null;

  constructor(message: string, options: { hint?: string | null; exitCode?: 1 | 2; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "Failure";
    this.exitCode = options.exitCode ?? 1;
    this.hint = options.hint ?? null;
  }
}

/** Ends a command early and well: with --curl there is nothing left to do once the request is printed. */
export class Finished extends Error {}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
