import { isCidr } from "../domain/address.ts";
import { BREAKER_WINDOW_MAX } from "../domain/breaker.ts";
import { isPermanentRule } from "../domain/classify.ts";
import {
  boolean,
  choice,
  duration,
  either,
  integer,
  isDnsServer,
  type Kind,
  list,
  listenAddress,
  number,
  optionalPath,
  path,
  retrySchedule,
  size,
} from "./kinds.ts";
import { collectorEndpoint, requestHeaders } from "./trace-kinds.ts";

/** One key of the configuration: what its value may be, its default as YAML writes it, and why it is that. */
export interface Key<T> {
  readonly kind: Kind<T>;
  readonly default: unknown;
  readonly why: string;
  /** When a change in the file takes effect: at SIGHUP in what is running, or only at the next start. */
  readonly change: "live" | "restart";
}

const KiB = 2 ** 10;
const MiB = 2 ** 20;
const GiB = 2 ** 30;

/**
 * Every key there is. The file's schema, the defaults, the names in the environment, `config print` and
 * config.example.yaml all come from this table.
 */
export const KEYS = {
  listen: key(
    listenAddress("127.0.0.1:8420"),
    "127.0.0.1:8420",
    "Where the API is served. Loopback: put a proxy that speaks TLS in front before others reach it. Port 0: any.",
    "restart",
  ),
  data_dir: key(
    path("/var/lib/hookd"),
    "./hookd-data",
    "Directory of hookd.db, admin.key and master.key, from the working directory. Back it up, master.key apart.",
    "restart",
  ),

  "store.url": key(
    choice("sqlite"),
    "sqlite",
    "Where deliveries are kept: sqlite is a file in data_dir.",
    "restart",
  ),

  "delivery.timeout": key(
    duration("15s", "100ms", "30s"),
    "15s",
    "One attempt, from connecting to the last byte. Standard Webhooks asks for 15-30 s; longer holds sockets.",
    "live",
  ),
  "delivery.age_max": key(
    duration("3d", "1s", "90d"),
    "3d",
    "A delivery still open after this ends as dead/expired. A weekend and a day: longer than the whole schedule.",
    "live",
  ),
  "delivery.concurrency_max": key(
    integer("128", 1, 1024),
    128,
    "Attempts in flight to one webhook, once it has shown that it answers.",
    "live",
  ),
  "delivery.in_flight_max": key(
    integer("4096", 1, 65_536),
    4096,
    "Attempts in flight in all: each holds a socket (mind `ulimit -n`) and its payload in memory.",
    "live",
  ),
  "delivery.senders": key(
    either(choice("auto"), integer("2", 1, 64)),
    "auto",
    "Threads that send. auto: one for every two cores beside the two that accept and store; 1 to 4.",
    "restart",
  ),
  "delivery.drain": key(
    duration("30s", "0s", "10m"),
    "30s",
    "At a stop, how long attempts in flight may take to end. Best longer than delivery.timeout.",
    "live",
  ),
  "delivery.response_excerpt_bytes": key(
    size("1024", 0, 16 * KiB),
    1024,
    "How much of a response body is kept with each attempt. 0: nothing.",
    "live",
  ),

  "retry.schedule": key(
    retrySchedule("[1s, 5s, 30s]"),
    ["1s", "5s", "30s", "5m", "30m", "2h", "5h", "10h", "10h"],
    "Delays between attempts: n delays make n + 1 attempts, 28 h here. Or {base: 1m, factor: 2, max: 1h, attempts: 8}.",
    "live",
  ),
  "retry.jitter": key(
    number("0.5", 0, 10),
    0.5,
    "Each delay d is drawn from d to (1 + jitter) d, so that retries do not come in waves, and never early.",
    "live",
  ),
  "retry.permanent": key(
    list(
      'statuses (404), classes (4xx) or ranges (400-404) from 300 to 599, with ! for "not"',
      '[4xx, "!429"]',
      isPermanentRule,
    ),
    ["4xx", "!408", "!425", "!429"],
    "Statuses that end a delivery at once, as trying again will not help. Later entries win. 410 always ends it.",
    "live",
  ),

  "breaker.consecutive": key(
    integer("5", 1, 1000),
    5,
    "A webhook's breaker opens after so many different deliveries failed in a row.",
    "live",
  ),
  "breaker.window": key(
    integer("20", 2, BREAKER_WINDOW_MAX),
    20,
    "Or when `ratio` of the last `window` attempts failed.",
    "live",
  ),
  "breaker.ratio": key(number("0.5", 0.01, 1), 0.5, "Share of failures in the window, 0.01 to 1.", "live"),
  "breaker.probe": key(
    duration("30s", "10ms", "24h"),
    "30s",
    "Mean time between the attempts that probe an open breaker.",
    "live",
  ),
  "breaker.probe_max": key(
    duration("5m", "10ms", "24h"),
    "5m",
    "What that time grows to while probes fail.",
    "live",
  ),
  "breaker.disable_after": key(
    duration("5d", "1s", "365d"),
    "5d",
    "A webhook with nothing but failures for so long is switched off.",
    "live",
  ),

  "net.allow": key(
    list("CIDRs", "[10.0.0.0/8]", isCidr),
    [],
    "Addresses that are not public, and may be delivered to all the same. Cloud metadata never may.",
    "live",
  ),
  "net.allow_http": key(
    boolean(),
    false,
    "Whether callback URLs may be http: payloads travel in the clear.",
    "live",
  ),
  "net.dns_servers": key(
    list("addresses, with or without a port", "[1.1.1.1]", isDnsServer),
    [],
    "Name servers to ask for receivers' addresses; none: the system's.",
    "live",
  ),
  "net.ca_file": key(
    optionalPath("/etc/hookd/ca.pem"),
    null,
    "Certificates (PEM) to trust besides the well-known ones.",
    "restart",
  ),
  "net.nat64": key(
    boolean(),
    false,
    "Whether 64:ff9b::/96 stands for IPv4, as in networks with IPv6 only.",
    "live",
  ),
  "net.idle_connections_max": key(
    integer("12288", 0, 65_536),
    12288,
    "Connections that each sender keeps open unused, some 8 KB each; fewer where few files may be open.",
    "live",
  ),

  "limits.payload_bytes": key(
    size("256KiB", 1, 16 * MiB),
    "256KiB",
    "Largest payload of one event.",
    "restart",
  ),
  "limits.batch_bytes": key(
    size("8MiB", 1, 256 * MiB),
    "8MiB",
    "Largest body of a batch of events.",
    "restart",
  ),
  "limits.queue_depth": key(
    integer("50000000", 1, 1_000_000_000),
    50_000_000,
    "Open deliveries in all; beyond, events are refused with 503.",
    "live",
  ),
  "limits.user_backlog": key(
    integer("20000000", 1, 1_000_000_000),
    20_000_000,
    "Waiting deliveries of one user; beyond, that user gets 429.",
    "live",
  ),
  "limits.lane_backlog": key(
    integer("5000000", 1, 1_000_000_000),
    5_000_000,
    "Waiting deliveries of one webhook; beyond, events for it get 429.",
    "live",
  ),
  "limits.disk_free": key(
    size("512MiB", 0, 1024 * GiB),
    "512MiB",
    "With less than this free on the data directory's disk, events are refused with 503.",
    "live",
  ),
  "limits.publish_per_key": key(
    integer("0", 0, 1_000_000),
    0,
    "Events a second that one API key may publish, in bursts of a second's worth; a larger batch is let through, and owed. 0: no limit.",
    "live",
  ),
  "limits.fanout_max": key(
    integer("100", 1, 10_000),
    100,
    "A broadcast to more webhooks than this is accepted first and expanded in steps.",
    "live",
  ),
  "limits.dedupe_window": key(
    duration("24h", "24h", "30d"),
    "24h",
    "How long an event_uid is remembered: publishing it again within this is one event.",
    "restart",
  ),

  "events.dead_per_minute": key(
    integer("60", 0, 6000),
    60,
    "hookd's own events of dead deliveries, a minute at most; each says how many it stands for. 0: none.",
    "live",
  ),
  "events.behind_after": key(
    duration("60s", "1s", "24h"),
    "60s",
    "hookd.queue.behind tells when a delivery that nothing holds back has been due for so long.",
    "live",
  ),
  "events.recovered_after": key(
    duration("5m", "0s", "30d"),
    "5m",
    "hookd.webhook.recovered tells of the first success of a webhook whose breaker opened so long ago, or longer.",
    "live",
  ),
  "events.disk_low": key(
    either(choice("auto"), size("1GiB", 0, 1024 * GiB)),
    "auto",
    "hookd.disk.low tells when less than this is free. auto: twice limits.disk_free. 0: never.",
    "live",
  ),

  "retention.success": key(
    duration("3d", "1m", "3650d"),
    "3d",
    "How long delivered ones stay listed.",
    "live",
  ),
  "retention.dead": key(
    duration("30d", "1m", "3650d"),
    "30d",
    "How long dead ones stay, and can be replayed.",
    "live",
  ),
  "retention.archive_dir": key(
    optionalPath("/var/lib/hookd-archive"),
    null,
    "Where both go before they are deleted: compressed NDJSON, a file for each hour. null: they are deleted only.",
    "restart",
  ),

  "backup.dir": key(
    optionalPath("/var/backups/hookd"),
    null,
    "Where `hookd backup` leaves its copies: best on another disk. null: backups in data_dir.",
    "live",
  ),

  "cache.ttl": key(
    duration("5m", "1s", "1h"),
    "5m",
    "How long a webhook may be used from memory. Changes made here show at once; this is for what was missed.",
    "restart",
  ),
  "cache.entries": key(
    integer("100000", 1, 10_000_000),
    100_000,
    "Routes kept in memory, about 1 KiB each.",
    "restart",
  ),

  "security.master_key_file": key(
    optionalPath("/etc/hookd/master.key"),
    null,
    "File of the key that seals secrets in the store. null: master.key in data_dir, made at the first start.",
    "restart",
  ),

  "log.level": key(
    choice("trace", "debug", "info", "warn", "error", "fatal", "silent"),
    "info",
    "Least level that is logged.",
    "live",
  ),
  "log.sample_success": key(
    number("0.01", 0, 1),
    0.01,
    "Share of successful attempts that are logged, where log.level is info; failures all are.",
    "live",
  ),

  "trace.endpoint": key(
    collectorEndpoint("http://127.0.0.1:4318"),
    null,
    "OpenTelemetry collector that takes spans by OTLP over HTTP: its address, or the full URL (.../v1/traces). null: no traces.",
    "restart",
  ),
  "trace.headers": key(
    requestHeaders("x-api-key=KEY"),
    {},
    "Sent to the collector with each batch, for its API key: {x-api-key: KEY}. Never shown.",
    "restart",
  ),
  "trace.sample": key(
    number("0.001", 0, 1),
    0.001,
    "Share of the publish requests without a `traceparent` that are traced. A publisher that sends one decides itself.",
    "live",
  ),
  "trace.propagate": key(
    boolean(),
    false,
    "Whether a traced attempt's request has a `traceparent`, so that the receiver goes on with the trace.",
    "live",
  ),
} as const satisfies Record<string, Key<unknown>>;

export type KeyName = keyof typeof KEYS;
export const KEY_NAMES = Object.keys(KEYS) as readonly KeyName[];

/** Parsed values by key. */
export type Values = { readonly [K in KeyName]: (typeof KEYS)[K] extends Key<infer T> ? T : never };

/** `HOOKD_STORE_URL` for `store.url`. */
export function environmentName(name: KeyName): string {
  return `HOOKD_${name.replaceAll(".", "_").toUpperCase()}`;
}

function key<T>(kind: Kind<T>, byDefault: unknown, why: string, change: Key<T>["change"]): Key<T> {
  return { kind, default: byDefault, why, change };
}
