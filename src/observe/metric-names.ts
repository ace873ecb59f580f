import { ATTEMPT_ERRORS, DEAD_REASONS, VERDICTS } from "../domain/delivery.ts";
import { OPERATIONAL_EVENTS } from "../domain/operational-event.ts";
import { REFUSALS } from "../domain/problem.ts";

/**
 * Every metric of hookd, with its kind, labels and meaning: the contract for dashboards and alerts. `/metrics` prints
 * nothing that is not in here, and tests hold docs/METRICS.md and deploy/ against it.
 */
export interface Metric {
  readonly kind: "counter" | "gauge" | "histogram";
  readonly help: string;
  /** Each label with the values that it may have. A histogram's buckets have `le` besides. */
  readonly labels: Readonly<Record<string, readonly string[]>>;
}

export const METRICS: Readonly<Record<string, Metric>> = {
  hookd_events_accepted_total: counter("Events stored and answered with 202, duplicates aside."),
  hookd_events_duplicate_total: counter(
    "Events whose uid was known with the same content: answered, not stored again.",
  ),
  hookd_events_conflict_total: counter("Events whose uid was known with other content: refused with 409."),
  hookd_events_unmatched_total: counter("Events that no webhook takes: answered with 202, not stored."),
  hookd_registry_hits_total: counter("Events whose webhooks were in the API's cache."),
  hookd_registry_misses_total: counter("Look-ups in the store for events whose webhooks were not."),
  hookd_events_refused_total: counter(
    "Events refused at a limit (429, 503), by problem code. A batch that is refused before it is read counts as one.",
    {
      code: REFUSALS,
    },
  ),
  hookd_deliveries_accepted_total: counter("Deliveries stored with their events."),
  hookd_deliveries_handed_off_total: counter("Deliveries that went from the commit straight to a sender."),
  hookd_deliveries_succeeded_total: counter("Deliveries that ended with a 2xx."),
  hookd_deliveries_dead_total: counter("Deliveries that ended without success, by reason.", {
    reason: DEAD_REASONS,
  }),
  hookd_attempts_total: counter("Attempts, by verdict.", { verdict: VERDICTS }),
  hookd_attempt_errors_total: counter(
    "Failed attempts, by class of error; status: an answer other than 2xx.",
    { error: [...ATTEMPT_ERRORS, "status"] },
  ),
  hookd_attempt_ms: histogram("Duration of attempts, from connect to last byte, ms."),
  hookd_delivery_ms: histogram(
    "From the beginning of the commit that accepts an event to that of the commit that records its success at the first attempt, ms.",
  ),
  hookd_commit_ms: histogram("Duration of group commits, ms."),
  hookd_commit_batch_size: histogram("Events and outcomes in one group commit."),
  hookd_commit_failures_total: counter(
    "Commits that the store refused (disk full): nothing of them was acknowledged.",
  ),
  hookd_outcomes_stale_total: counter("Outcomes of leases that were no longer held: not applied."),
  hookd_lane_count_drift_total: counter("Times a lane's kept counts were wrong: a bug, please report it."),
  hookd_queue_depth: gauge("Open deliveries: waiting and in flight."),
  hookd_in_flight: gauge("Attempts under way, and successes that are not recorded yet."),
  hookd_oldest_due_seconds: gauge("How long the oldest due delivery has been due."),
  hookd_lanes: gauge("Lanes in memory."),
  hookd_lanes_ready: gauge("Lanes with due work that wait for a slot."),
  hookd_lanes_open: gauge("Lanes whose breaker is open."),
  hookd_lanes_parked: gauge(
    "Lanes that send nothing now: breaker open, paused, held by Retry-After, or hung and waiting for their turn.",
  ),
  hookd_dlq_size: gauge("Dead deliveries."),
  hookd_jobs_running: gauge("Bulk jobs that are not done."),
  hookd_store_bytes: gauge("Size of the database file."),
  hookd_store_wal_bytes: gauge("Size of the database's write-ahead log."),
  hookd_store_unfolded: gauge("Deliveries that the journal has and the log has not yet."),
  hookd_disk_free_bytes: gauge(
    "Free space where the data is, and in what deleting left of the database's file; below limits.disk_free no events " +
      "are taken.",
  ),
  hookd_clock_gap_seconds: gauge(
    "How far the wall clock is ahead of the time by which hookd prunes and expires.",
  ),
  hookd_clock_suspended: gauge(
    "1 while that gap is over an hour: nothing is pruned, expired or switched off.",
  ),
  hookd_deliveries_pruned_total: counter("Ended deliveries that retention deleted."),
  hookd_deliveries_archived_total: counter("Ended deliveries written to retention.archive_dir before that."),
  hookd_archive_failing: gauge(
    "1 while retention.archive_dir cannot be written: nothing old is deleted, and the disk fills.",
  ),
  hookd_paused: gauge("1 while hookd is paused: it takes events and sends nothing, until `hookd resume`."),
  hookd_backups_total: counter("Backups, by result: done, failed, or cancelled (deleted while being made).", {
    result: ["done", "failed", "cancelled"],
  }),
  hookd_backup_running: gauge("1 while a backup is being made."),
  hookd_operational_events_total: counter("hookd's own events, stored for an operator's webhook, by event.", {
    event: OPERATIONAL_EVENTS,
  }),
  hookd_operational_events_dropped_total: counter(
    "hookd's own events given up: 1,000 were waiting to be stored. Deaths are never: their counts wait.",
  ),
  hookd_config_reloads_total: counter("Times the configuration was read again (SIGHUP), by result.", {
    result: ["ok", "failed"],
  }),
  hookd_config_loaded_seconds: gauge("When the configuration was last read and good, in seconds since 1970."),
  hookd_config_refused: gauge(
    "1 while the configuration, as last read, is wrong: the one before is in force.",
  ),
  hookd_config_restart_settings: gauge("Settings that were changed in the configuration and need a restart."),
  hookd_event_loop_lag_seconds: gauge(
    "99th percentile of the API thread's event-loop delay since the last scrape.",
  ),
  hookd_stream_clients: gauge("Clients of the server-sent stream."),
  hookd_stream_skipped_total: counter("Stream rows dropped for clients that read too slowly."),
  hookd_sender_restarts_total: counter("Sender threads that died and were replaced."),
  hookd_trace_spans_total: counter(
    "Spans, by result: sent to the collector, refused by it, or dropped since it took none for too long.",
    { result: ["sent", "refused", "dropped"] },
  ),
  hookd_trace_failing: gauge(
    "1 while the collector takes no spans (trace.endpoint); deliveries do not mind.",
  ),
  hookd_up_seconds: gauge("Since the process started."),
  hookd_memory_rss_bytes: gauge("Resident memory of the process."),
  hookd_cpu_seconds_total: counter("User and system CPU time of the process."),
};

function counter(help: string, labels: Metric["labels"] = {}): Metric {
  return { kind: "counter", help, labels };
}

function gauge(help: string): Metric {
  return { kind: "gauge", help, labels: {} };
}

function histogram(help: string): Metric {
  return { kind: "histogram", help, labels: {} };
}
