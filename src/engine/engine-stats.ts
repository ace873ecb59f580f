import type { StoreStats } from "../store/port.ts";
import type { Counters } from "./counters.ts";
import { NEVER } from "./lane.ts";
import type { EngineStats } from "./port.ts";
import type { Schedule } from "./schedule.ts";

export interface StatsSources {
  readonly counters: Counters;
  readonly schedule: Schedule;
  readonly store: StoreStats;
  readonly flights: number;
  readonly jobs: number;
  readonly clockGapMs: number;
  readonly isClockSuspended: boolean;
  readonly diskFreeBytes: number;
  readonly isPaused: boolean;
  readonly isBackupRunning: boolean;
  readonly now: number;
}

/** The director's numbers under their metric names (observe/metric-names.ts). */
export function engineStats(sources: StatsSources): EngineStats {
  const { counters, schedule, store } = sources;
  const { open, oldestDueAt } = schedule.figures;
  return {
    counters: {
      hookd_events_accepted_total: counters.accepted,
      hookd_deliveries_accepted_total: counters.acceptedDeliveries,
      hookd_events_duplicate_total: counters.duplicates,
      hookd_events_conflict_total: counters.conflicts,
      ...labelled("hookd_events_refused_total", "code", Object.fromEntries(counters.refused)),
      hookd_deliveries_handed_off_total: counters.handedOff,
      hookd_deliveries_succeeded_total: counters.delivered,
      ...labelled("hookd_attempts_total", "verdict", counters.attempts),
      ...labelled("hookd_attempt_errors_total", "error", counters.attemptErrors),
      ...labelled("hookd_deliveries_dead_total", "reason", counters.deaths),
      hookd_outcomes_stale_total: counters.staleOutcomes,
      hookd_commit_failures_total: counters.commitFailures,
      hookd_lane_count_drift_total: schedule.countDrift,
      hookd_deliveries_pruned_total: counters.pruned,
      hookd_deliveries_archived_total: counters.archived,
      ...labelled("hookd_backups_total", "result", counters.backups),
      ...labelled("hookd_operational_events_total", "event", counters.operational),
      hookd_operational_events_dropped_total: counters.operationalDropped,
    },
    gauges: {
      hookd_queue_depth: schedule.backlog + sources.flights,
      hookd_in_flight: sources.flights,
      hookd_oldest_due_seconds: oldestDueAt === NEVER ? 0 : Math.max(0, sources.now - oldestDueAt) / 1000,
      hookd_lanes: schedule.lanes.size,
      hookd_lanes_ready: schedule.readyCount,
      hookd_lanes_open: open,
      hookd_lanes_parked: schedule.figures.parked(sources.now),
      hookd_dlq_size: store.dead,
      hookd_jobs_running: sources.jobs,
      hookd_store_bytes: store.bytes,
      hookd_store_wal_bytes: store.walBytes,
      hookd_store_unfolded: store.unfolded,
      hookd_disk_free_bytes: sources.diskFreeBytes,
      hookd_clock_gap_seconds: sources.clockGapMs / 1000,
      hookd_clock_suspended: sources.isClockSuspended ? 1 : 0,
      hookd_archive_failing: counters.isArchiveFailing ? 1 : 0,
      hookd_paused: sources.isPaused ? 1 : 0,
      hookd_backup_running: sources.isBackupRunning ? 1 : 0,
    },
    histograms: {
      hookd_commit_ms: counters.commitMs.snapshot(),
      hookd_commit_batch_size: counters.commitEvents.snapshot(),
      hookd_attempt_ms: counters.attemptMs.snapshot(),
      hookd_delivery_ms: counters.deliveryMs.snapshot(),
    },
  };
}

function labelled(
  name: string,
  label: string,
  values: Readonly<Record<string, number>>,
): Record<string, number> {
  return Object.fromEntries(
    Object.entries(values).map(([value, count]) => [`${name}{${label}="${value}"}`, count]),
  );
}
