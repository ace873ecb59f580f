import type {
  DeadGroupBody,
  DeliveryBody,
  DryRunBody,
  JobBody,
  PageBody,
  PauseBody,
  WebhookBody,
} from "../http-api.ts";

/** Which attempts are watched, as the API's query names it. */
export interface WatchQuery {
  readonly status?: string | undefined;
  readonly webhook_id?: string | undefined;
  readonly user_id?: string | undefined;
  readonly event_id?: string | undefined;
  readonly rows_per_second?: number | undefined;
}

/** Which of the dead: a filter, or ids. */
export interface Selection {
  readonly webhook_id?: string;
  readonly reason?: string;
  readonly event_id?: string;
  readonly user_id?: string;
  readonly ids?: readonly string[];
}

/** Which webhooks are listed. */
export interface WebhookQuery {
  readonly user_id?: string | undefined;
  readonly event_id?: string | undefined;
}

/**
 * What the screens ask of the daemon. Each call throws an Error for what went wrong, with `isPassing` where the
 * same may succeed later. Texts of answers are inert.
 */
export interface Api {
  /** Where it is, to be shown. */
  readonly server: string;
  /** Resolves once the stream has begun, with its bytes. */
  openStream(query: WatchQuery, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  /** Prometheus text. */
  metrics(): Promise<string>;
  delivery(id: string): Promise<DeliveryBody>;
  retry(id: string): Promise<DeliveryBody>;
  /** Null where it is deleted. */
  webhook(id: string): Promise<WebhookBody | null>;
  /** Of hookd as a whole; null while it sends. */
  pause(): Promise<PauseBody | null>;
  /** Counts of the dead, by `webhook,reason` and the like. */
  deadGroups(group: string): Promise<readonly DeadGroupBody[]>;
  /** Newest first, a page of them. */
  dead(selection: Selection): Promise<PageBody<DeliveryBody>>;
  /** How many a job would cover. */
  countDead(verb: "replay" | "purge", selection: Selection): Promise<DryRunBody>;
  startDead(verb: "replay" | "purge", selection: Selection): Promise<{ readonly job_id: string }>;
  job(id: string): Promise<JobBody>;
  webhooks(query: WebhookQuery & { cursor?: string | undefined }): Promise<PageBody<WebhookBody>>;
}

/** The same call may succeed later: nothing answered, or hookd was busy or stopping. */
export function isPassing(error: unknown): boolean {
  return error instanceof Error && "isPassing" in error && error.isPassing === true;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
