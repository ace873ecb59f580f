/** What the API answers, as far as the command line reads it (src/api/schemas.ts). */
export interface PageBody<T> {
  readonly data: readonly T[];
  readonly next_cursor: string | null;
}

export interface WebhookBody {
  readonly id: string;
  readonly user_id: string;
  readonly event_id: string;
  readonly callback_url: string;
  readonly description: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly is_active: boolean;
  readonly disabled_reason: string | null;
  readonly is_paused: boolean;
  readonly rate_limit: { readonly per_second: number; readonly burst?: number } | null;
  readonly concurrency_max: number | null;
  readonly timeout: string | null;
  readonly retry: Readonly<Record<string, unknown>> | null;
  readonly ordering: string;
  readonly created_at: string;
  readonly updated_at: string;
  readonly secret?: string;
  readonly live?: {
    readonly breaker: string;
    readonly in_flight: number;
    readonly backlog: number;
    readonly oldest_due_at: string | null;
    readonly concurrency: number;
    readonly parked_until: string | null;
    readonly success_rate: number | null;
    readonly p50_ms: number | null;
    readonly p99_ms: number | null;
    readonly last_error: { readonly at: string; readonly error: string } | null;
  };
}

export interface SecretsBody {
  readonly webhook_id: string;
  readonly secret: string;
  readonly secrets: readonly { readonly secret: string; readonly expires_at: string | null }[];
}

export interface AttemptBody {
  readonly number: number;
  readonly started_at: string;
  readonly duration_ms: number;
  readonly verdict: string;
  readonly status_code: number | null;
  readonly error: string | null;
  readonly response_excerpt: string | null;
}

export interface DeliveryBody {
  readonly id: string;
  readonly event_uid: string;
  readonly event_id: string;
  readonly user_id: string;
  readonly webhook_id: string;
  readonly status: "pending" | "retrying" | "success" | "dead";
  readonly reason: string | null;
  readonly attempt_count: number;
  readonly next_retry_at: string | null;
  readonly is_leased: boolean;
  readonly response_code: number | null;
  readonly error: string | null;
  readonly duration_ms: number | null;
  readonly created_at: string;
  readonly completed_at: string | null;
  /** Of one delivery only, not in lists. */
  readonly attempts?: readonly AttemptBody[];
}

/** An attempt as GET /v1/stream tells it. */
export interface SettledBody {
  readonly delivery_id: string;
  readonly webhook_id: string;
  readonly user_id: string;
  readonly event_id: string;
  readonly event_uid: string;
  /** What it left its delivery as. */
  readonly status: "pending" | "retrying" | "success" | "dead";
  readonly reason: string | null;
  readonly next_retry_at: string | null;
  readonly attempt: AttemptBody;
}

/** Of all attempts that the stream's filter let through in a second, shown or skipped. */
export interface StreamCountsBody {
  readonly attempts: number;
  readonly success: number;
  readonly retrying: number;
  readonly dead: number;
}

export interface AcceptedBody {
  readonly event_uid: string | null;
  readonly delivery_count: number;
  readonly deliveries: readonly { readonly id: string; readonly webhook_id: string }[];
  readonly duplicate: boolean;
  readonly fan_out?: string;
}

export interface DeadGroupBody {
  readonly webhook_id?: string;
  readonly reason?: string;
  readonly event_id?: string;
  readonly user_id?: string;
  readonly count: number;
}

export interface DryRunBody {
  readonly count: number;
  readonly is_exact: boolean;
}

export interface JobBody {
  readonly id: string;
  readonly kind: string;
  readonly status: "running" | "done" | "cancelled";
  readonly total: number | null;
  readonly done: number;
  readonly created_at: string;
  readonly completed_at: string | null;
}

export interface BackupBody {
  readonly name: string;
  readonly path: string;
  readonly state: "running" | "done" | "failed";
  readonly bytes: number;
  readonly progress: number;
  readonly created_at: string;
  readonly completed_at: string | null;
  readonly error: string | null;
}

export interface PauseBody {
  readonly reason: "operator" | "restored";
  readonly since: string;
}

export interface KeyBody {
  readonly id: string;
  readonly user_id: string | null;
  readonly is_admin: boolean;
  readonly scopes: readonly string[];
  readonly name: string | null;
  readonly created_at: string;
  readonly expires_at: string | null;
  readonly key?: string;
}
