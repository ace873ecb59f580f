// Writes deploy/grafana-dashboard.json from the panels below (a test holds the two together):
//   node scripts/generate-dashboard.ts
import { writeFileSync } from "node:fs";

interface Panel {
  readonly title: string;
  /** What it tells, and what to do about it. */
  readonly description: string;
  /** Grafana's name of a unit. */
  readonly unit: string;
  /** Legend and PromQL of each query. */
  readonly queries: Readonly<Record<string, string>>;
  /** One number rather than a line over time. */
  readonly isNumber?: boolean;
}

const SOURCE = { type: "prometheus", uid: "$datasource" };
/** Grafana's grid is 24 wide. */
const WIDTH = 24;
const NUMBER = { w: 3, h: 4 };
const GRAPH = { w: 8, h: 8 };
const ROW = { w: WIDTH, h: 1 };

const ROWS: Readonly<Record<string, readonly Panel[]>> = {
  Now: [
    number("Accepted", "ops", "Events stored and answered with 202.", total("hookd_events_accepted_total")),
    number(
      "Delivered",
      "ops",
      "Deliveries that ended with a 2xx.",
      total("hookd_deliveries_succeeded_total"),
    ),
    number(
      "Attempts that succeed",
      "percentunit",
      "Falls when receivers fail: hookd deliveries list --status failed shows whose.",
      `${total("hookd_attempts_total", ',verdict="success"')} / ${total("hookd_attempts_total")}`,
    ),
    number("Queue", "short", "Open deliveries: waiting and in flight.", `sum(${of("hookd_queue_depth")})`),
    number(
      "Oldest due",
      "s",
      "How late the latest is, parked lanes too.",
      `max(${of("hookd_oldest_due_seconds")})`,
    ),
    number(
      "Dead",
      "short",
      "Deliveries that wait for a replay or a purge: hookd dlq list --group webhook,reason.",
      `sum(${of("hookd_dlq_size")})`,
    ),
    number("Open breakers", "short", "Webhooks that only get probes.", `sum(${of("hookd_lanes_open")})`),
    number(
      "Disk free",
      "bytes",
      "Below limits.disk_free no events are taken.",
      `min(${of("hookd_disk_free_bytes")})`,
    ),
  ],
  Intake: [
    graph("Events", "ops", "What publishers sent, by what became of it.", {
      accepted: total("hookd_events_accepted_total"),
      "known uid": total("hookd_events_duplicate_total"),
      "no webhook": total("hookd_events_unmatched_total"),
      "uid conflict": total("hookd_events_conflict_total"),
    }),
    graph("Refused", "ops", "429 and 503, by problem code. Publishers are told when to come again.", {
      "{{code}}": by("code", "hookd_events_refused_total"),
    }),
    graph("Registry", "percentunit", "Events whose webhooks were known without asking the store.", {
      hits: `${total("hookd_registry_hits_total")} / (${total("hookd_registry_hits_total")} + ${total("hookd_registry_misses_total")})`,
    }),
  ],
  Delivery: [
    graph("Attempts", "ops", "By verdict. lost: a sender thread died, and the attempt is made again.", {
      "{{verdict}}": by("verdict", "hookd_attempts_total"),
    }),
    graph("Failures", "ops", "By class of error. internal: hookd's own machine, not the receiver.", {
      "{{error}}": by("error", "hookd_attempt_errors_total"),
    }),
    graph("Deaths", "ops", "Deliveries that ended without success, by reason.", {
      "{{reason}}": by("reason", "hookd_deliveries_dead_total"),
    }),
    graph(
      "Attempt",
      "ms",
      "From connect to the last byte: how slow receivers are.",
      quantiles("hookd_attempt_ms"),
    ),
    graph(
      "Accepted to delivered",
      "ms",
      "Where the first attempt succeeded: what hookd and the receiver take together.",
      quantiles("hookd_delivery_ms"),
    ),
    graph("Straight from the commit", "percentunit", "Deliveries that did not wait on disk first.", {
      share: `${total("hookd_deliveries_handed_off_total")} / ${total("hookd_deliveries_accepted_total")}`,
    }),
  ],
  Queue: [
    graph("Depth", "short", "Open deliveries. Grows while less is delivered than accepted.", {
      open: `sum(${of("hookd_queue_depth")})`,
      "in flight": `sum(${of("hookd_in_flight")})`,
    }),
    graph(
      "Lanes",
      "short",
      "ready: due, and waiting for a slot. parked: open breaker, paused, or Retry-After.",
      {
        ready: `sum(${of("hookd_lanes_ready")})`,
        parked: `sum(${of("hookd_lanes_parked")})`,
        "breaker open": `sum(${of("hookd_lanes_open")})`,
        "in memory": `sum(${of("hookd_lanes")})`,
      },
    ),
    graph("Oldest due and jobs", "short", "Seconds, and bulk jobs (hookd jobs list).", {
      "oldest due, s": `max(${of("hookd_oldest_due_seconds")})`,
      "jobs running": `sum(${of("hookd_jobs_running")})`,
    }),
  ],
  Store: [
    graph("Commit", "ms", "Every 202 waits for one. Grows with a slow disk.", quantiles("hookd_commit_ms")),
    graph("Commit size", "short", "Events and outcomes in one commit.", quantiles("hookd_commit_batch_size")),
    graph("Trouble", "ops", "Commits refused, outcomes of leases no longer held, counts put right.", {
      "commits refused": total("hookd_commit_failures_total"),
      "stale outcomes": total("hookd_outcomes_stale_total"),
      "count drift": total("hookd_lane_count_drift_total"),
    }),
    graph("Files", "bytes", "The database and its log; and what is free beside them.", {
      database: `sum(${of("hookd_store_bytes")})`,
      "write-ahead log": `sum(${of("hookd_store_wal_bytes")})`,
      free: `min(${of("hookd_disk_free_bytes")})`,
    }),
    graph("Retention", "ops", "Ended deliveries deleted, and written to the archive before.", {
      pruned: total("hookd_deliveries_pruned_total"),
      archived: total("hookd_deliveries_archived_total"),
      "archive failing (1)": `max(${of("hookd_archive_failing")})`,
    }),
    graph(
      "Not folded yet",
      "short",
      "Deliveries that the journal has and the log has not. Seconds' worth is usual.",
      {
        deliveries: `sum(${of("hookd_store_unfolded")})`,
      },
    ),
  ],
  Process: [
    graph("CPU", "percentunit", "Of one core. The API, the director and each sender have a thread.", {
      "{{instance}}": by("instance", "hookd_cpu_seconds_total"),
    }),
    graph("Memory", "bytes", "Resident. It does not grow with the backlog, which is on disk.", {
      "{{instance}}": of("hookd_memory_rss_bytes"),
    }),
    graph("Event loop", "s", "How long the API's thread stands still, p99.", {
      "{{instance}}": of("hookd_event_loop_lag_seconds"),
    }),
    graph(
      "Clock",
      "s",
      "How far the wall clock is ahead of what hookd trusts. Over an hour nothing is pruned.",
      {
        gap: `max(${of("hookd_clock_gap_seconds")})`,
        "suspended (1)": `max(${of("hookd_clock_suspended")})`,
      },
    ),
    graph("Starts", "short", "Senders replaced within the last hour, and how long hookd runs.", {
      "senders replaced": `sum(increase(${of("hookd_sender_restarts_total")}[1h]))`,
      "up, h": `min(${of("hookd_up_seconds")}) / 3600`,
    }),
    graph(
      "Configuration",
      "short",
      "1 while the last one read is wrong, and settings that wait for a restart.",
      {
        refused: `max(${of("hookd_config_refused")})`,
        "need a restart": `max(${of("hookd_config_restart_settings")})`,
        "read within 1 h": `sum(increase(${of("hookd_config_reloads_total")}[1h]))`,
      },
    ),
    graph("Stream", "short", "Clients of /v1/stream, and rows a second that they read too slowly for.", {
      clients: `sum(${of("hookd_stream_clients")})`,
      skipped: total("hookd_stream_skipped_total"),
    }),
  ],
};

export function dashboardText(): string {
  const dashboard = {
    title: "hookd",
    uid: "hookd",
    tags: ["hookd"],
    description: "What hookd accepts and delivers, what fails and waits, and what its machine has left.",
    editable: true,
    graphTooltip: 1,
    refresh: "30s",
    schemaVersion: 39,
    time: { from: "now-6h", to: "now" },
    timezone: "",
    annotations: { list: [] },
    links: [],
    templating: { list: [datasourceVariable(), instanceVariable()] },
    panels: placed(),
  };
  // A list of one text on one line, as the formatter has it.
  return `${JSON.stringify(dashboard, null, 2).replace(/\[\s+("[^"]*")\s+\]/g, "[$1]")}\n`;
}

function datasourceVariable(): object {
  return { name: "datasource", label: "Data source", type: "datasource", query: "prometheus", current: {} };
}

function instanceVariable(): object {
  const query = "label_values(hookd_up_seconds, instance)";
  return {
    name: "instance",
    label: "Instance",
    type: "query",
    datasource: SOURCE,
    definition: query,
    query: { query, refId: "instance" },
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    allValue: ".*",
    current: { text: "All", value: "$__all" },
  };
}

/** Rows one under the other, each row's panels from left to right. */
function placed(): object[] {
  const panels: object[] = [];
  let y = 0;
  for (const [title, row] of Object.entries(ROWS)) {
    panels.push({
      id: panels.length + 1,
      type: "row",
      title,
      collapsed: false,
      gridPos: { ...ROW, x: 0, y },
      panels: [],
    });
    y += ROW.h;
    let x = 0;
    for (const panel of row) {
      const { w, h } = panel.isNumber ? NUMBER : GRAPH;
      panels.push({ id: panels.length + 1, ...shown(panel), gridPos: { w, h, x, y } });
      x += w;
      if (x < WIDTH) continue;
      x = 0;
      y += h;
    }
    if (x > 0) y += GRAPH.h;
  }
  return panels;
}

function shown({ title, description, unit, queries, isNumber }: Panel): object {
  return {
    type: isNumber ? "stat" : "timeseries",
    title,
    description,
    datasource: SOURCE,
    fieldConfig: { defaults: { unit, ...(isNumber ? {} : { min: 0 }) }, overrides: [] },
    options: isNumber
      ? { reduceOptions: { calcs: ["lastNotNull"], fields: "", values: false }, graphMode: "area" }
      : { legend: { displayMode: "list", placement: "bottom" }, tooltip: { mode: "multi", sort: "desc" } },
    targets: Object.entries(queries).map(([legendFormat, expr], index) => ({
      refId: String.fromCharCode(65 + index),
      datasource: SOURCE,
      editorMode: "code",
      expr,
      legendFormat,
      range: true,
    })),
  };
}

function number(title: string, unit: string, description: string, promql: string): Panel {
  return { title, unit, description, queries: { [title]: promql }, isNumber: true };
}

function graph(title: string, unit: string, description: string, queries: Panel["queries"]): Panel {
  return { title, unit, description, queries };
}

function of(metric: string, more = ""): string {
  return `${metric}{instance=~"$instance"${more}}`;
}

function total(counter: string, more = ""): string {
  return `sum(rate(${of(counter, more)}[$__rate_interval]))`;
}

function by(label: string, counter: string): string {
  return `sum by (${label}) (rate(${of(counter)}[$__rate_interval]))`;
}

function quantiles(histogram: string): Panel["queries"] {
  const of = (quantile: number) => `histogram_quantile(${quantile}, ${by("le", `${histogram}_bucket`)})`;
  return { p50: of(0.5), p95: of(0.95), p99: of(0.99) };
}

if (process.argv[1] === import.meta.filename) {
  writeFileSync(new URL("../deploy/grafana-dashboard.json", import.meta.url), dashboardText());
}
