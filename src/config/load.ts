import { readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { LineCounter, parseDocument } from "yaml";
import { suggest } from "../lib/suggest.ts";
import type { Config } from "./config.ts";
import type { Environment } from "./environment.ts";
import { environmentName, KEY_NAMES, KEYS, type Key, type KeyName, type Values } from "./keys.ts";
import { isLoopbackHost } from "./kinds.ts";
import { isSecret, shown } from "./secrets.ts";

/** A configuration that cannot be used. The message has a line per fault and says where each is. */
export class ConfigError extends Error {
  constructor(faults: readonly string[]) {
    super(faults.join("\n"));
    this.name = "ConfigError";
  }
}

/** What was given on the command line: `dev`, and keys by their names, with values as YAML has them or as text. */
export type Overrides = { readonly dev?: boolean } & { readonly [K in KeyName]?: unknown };

export interface ConfigSource {
  /** Path of a YAML file; left out: `HOOKD_CONFIG`, or no file. */
  readonly file?: string;
  readonly env: Environment;
  readonly flags?: Overrides;
}

/** Where a key's value is from. */
export type Origin = "default" | "file" | "environment" | "flag";

/** A key with the value it has, as YAML writes it. */
export interface Setting {
  readonly name: KeyName;
  /** `***` for a secret: settings are for showing. */
  readonly raw: unknown;
  readonly origin: Origin;
}

/** Bounds what is read into memory by mistake (a database, a device). */
const FILE_BYTES_MAX = 1024 * 1024;

/** Variables that start with HOOKD_ and are no key of the configuration: the command line's own, and the binary's. */
const OTHER_VARIABLES = ["HOOKD_SERVER", "HOOKD_API_KEY", "HOOKD_CONFIG"];

/** Defaults, overridden by the file, by `HOOKD_*`, by flags. Throws a ConfigError that names every fault. */
export function loadConfig(source: ConfigSource): Config {
  return resolveConfig(source).config;
}

/** A configuration with all that it was made of. */
export interface Resolved {
  readonly config: Config;
  readonly values: Values;
  readonly settings: readonly Setting[];
}

/** As loadConfig, with every key's value and where it is from. */
export function resolveConfig(source: ConfigSource): Resolved {
  const faults: string[] = [];
  const file = source.file ?? nonEmpty(source.env.HOOKD_CONFIG);
  const given = [
    file === undefined ? [] : readFile(file, faults),
    readEnvironment(source.env, faults),
    readFlags(source.flags ?? {}, faults),
  ];
  const settings = new Map<KeyName, Setting & { where: string }>();
  for (const name of KEY_NAMES) {
    settings.set(name, { name, raw: KEYS[name].default, origin: "default", where: "default" });
  }
  for (const setting of given.flat()) settings.set(setting.name, setting);

  const values: Record<string, unknown> = {};
  for (const { name, raw, where } of settings.values()) {
    // Widened: the union of all kinds has no common call.
    const { kind }: Key<unknown> = KEYS[name];
    values[name] = kind.parse(raw);
    if (values[name] !== undefined) continue;
    const what = isSecret(name) || kind.isHiddenInFaults ? "its value" : quote(raw);
    faults.push(`${where}: ${name}: ${what} is not ${kind.expects}; for example: ${kind.example}`);
  }
  if (faults.length > 0) throw new ConfigError(faults);
  const config = configOf(values as Values, source.flags?.dev === true);
  checkTogether(config, faults);
  if (faults.length > 0) throw new ConfigError(faults);
  return {
    config,
    values: values as Values,
    settings: [...settings.values()].map(({ name, raw, origin }) => ({
      name,
      raw: shown(name, raw),
      origin,
    })),
  };
}

export function configOf(values: Values, dev: boolean): Config {
  return {
    listen: values.listen,
    dataDir: values.data_dir,
    dev,
    store: { url: values["store.url"] },
    delivery: {
      timeoutMs: values["delivery.timeout"],
      ageMaxMs: values["delivery.age_max"],
      concurrencyMax: values["delivery.concurrency_max"],
      inFlightMax: values["delivery.in_flight_max"],
      senders: values["delivery.senders"],
      drainMs: values["delivery.drain"],
      responseExcerptBytes: values["delivery.response_excerpt_bytes"],
    },
    retry: {
      policy: values["retry.schedule"],
      jitter: values["retry.jitter"],
      permanent: values["retry.permanent"],
    },
    breaker: {
      consecutive: values["breaker.consecutive"],
      window: values["breaker.window"],
      ratio: values["breaker.ratio"],
      probeMs: values["breaker.probe"],
      probeMaxMs: values["breaker.probe_max"],
      disableAfterMs: values["breaker.disable_after"],
    },
    net: {
      allow: values["net.allow"],
      allowHttp: values["net.allow_http"],
      allowLoopback: dev,
      dnsServers: values["net.dns_servers"],
      caFile: values["net.ca_file"],
      nat64: values["net.nat64"],
      idleConnectionsMax: values["net.idle_connections_max"],
    },
    limits: {
      payloadBytes: values["limits.payload_bytes"],
      batchBytes: values["limits.batch_bytes"],
      queueDepth: values["limits.queue_depth"],
      userBacklog: values["limits.user_backlog"],
      laneBacklog: values["limits.lane_backlog"],
      diskFreeBytes: values["limits.disk_free"],
      publishPerKey: values["limits.publish_per_key"],
      fanoutMax: values["limits.fanout_max"],
      dedupeWindowMs: values["limits.dedupe_window"],
    },
    events: {
      deadPerMinute: values["events.dead_per_minute"],
      behindAfterMs: values["events.behind_after"],
      recoveredAfterMs: values["events.recovered_after"],
      diskLowBytes:
        values["events.disk_low"] === "auto" ? values["limits.disk_free"] * 2 : values["events.disk_low"],
    },
    retention: {
      successMs: values["retention.success"],
      deadMs: values["retention.dead"],
      archiveDir: values["retention.archive_dir"],
    },
    backup: { dir: values["backup.dir"] ?? join(values.data_dir, "backups") },
    cache: { ttlMs: values["cache.ttl"], entries: values["cache.entries"] },
    security: { masterKeyFile: values["security.master_key_file"] },
    log: { level: values["log.level"], sampleSuccess: values["log.sample_success"] },
    trace: {
      endpoint: values["trace.endpoint"],
      headers: values["trace.headers"],
      sample: values["trace.sample"],
      propagate: values["trace.propagate"],
    },
  };
}

/** What no key can say alone. */
function checkTogether(config: Config, faults: string[]): void {
  if (config.dev && !isLoopbackHost(config.listen.host)) {
    faults.push(
      `--dev delivers to loopback, so hookd must not be reachable from outside: listen on 127.0.0.1, not on ` +
        `${config.listen.host} (listen), or leave out --dev and name what may be delivered to in net.allow`,
    );
  }
  if (resolve(config.backup.dir) === resolve(config.dataDir)) {
    faults.push(
      "backup.dir is data_dir: the database would be listed, and deleted, as a backup; name another directory",
    );
  }
  if (config.breaker.probeMaxMs < config.breaker.probeMs) {
    faults.push("breaker.probe_max is shorter than breaker.probe: make it as long, or longer");
  }
  if (config.limits.batchBytes < config.limits.payloadBytes) {
    faults.push(
      "limits.batch_bytes is less than limits.payload_bytes: one large event would fit in no batch",
    );
  }
  if (config.events.diskLowBytes > 0 && config.events.diskLowBytes < config.limits.diskFreeBytes) {
    faults.push(
      "events.disk_low is less than limits.disk_free: it would tell when events are refused already; make it more, or auto",
    );
  }
}

type Given = Setting & { readonly where: string };

function readFile(file: string, faults: string[]): Given[] {
  const lines = new LineCounter();
  const document = parseDocument(readText(file), { lineCounter: lines, prettyErrors: false });
  const at = (offset: number | undefined) =>
    offset === undefined ? file : `${file}:${lines.linePos(offset).line}`;
  for (const error of document.errors) faults.push(`${at(error.pos[0])}: not valid YAML: ${error.message}`);
  if (document.errors.length > 0) return [];
  let root: unknown;
  try {
    root = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    faults.push(`${file}: not valid YAML: ${messageOf(error)}`);
    return [];
  }
  const where = (path: readonly string[]) => at(rangeOf(document.getIn(path, true)));
  return root === null || root === undefined ? [] : flatten(root, [], where, faults);
}

function readText(file: string): string {
  try {
    const { size } = statSync(file);
    if (size > FILE_BYTES_MAX) throw new Error(`it has ${size} bytes; ${FILE_BYTES_MAX} is the most`);
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    throw new ConfigError([`${file}: the configuration cannot be read: ${messageOf(error)}`]);
  }
}

/** Keys and values of a mapping, `{delivery: {timeout: 15s}}` as `delivery.timeout`. */
function flatten(
  node: unknown,
  path: readonly string[],
  where: (path: readonly string[]) => string,
  faults: string[],
): Given[] {
  const name = path.join(".");
  if (isKey(name)) return [{ name, raw: node, origin: "file", where: where(path) }];
  const isSection = path.length === 0 || KEY_NAMES.some((known) => known.startsWith(`${name}.`));
  if (!isSection) {
    faults.push(`${where(path)}: ${unknown("key", name, KEY_NAMES)}`);
    return [];
  }
  // A section with nothing in it, as when all of its keys are commented out.
  if (node === null && path.length > 0) return [];
  if (typeof node !== "object" || node === null || Array.isArray(node)) {
    faults.push(`${where(path)}: ${name === "" ? "the file" : name} must be a mapping (key: value)`);
    return [];
  }
  return Object.entries(node).flatMap(([key, value]) => flatten(value, [...path, key], where, faults));
}

function readEnvironment(env: Environment, faults: string[]): Given[] {
  const names = new Map(KEY_NAMES.map((name) => [environmentName(name), name]));
  const given: Given[] = [];
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith("HOOKD_") || OTHER_VARIABLES.includes(variable)) continue;
    const name = names.get(variable);
    if (name === undefined) {
      faults.push(`environment: ${unknown("variable", variable, [...names.keys(), ...OTHER_VARIABLES])}`);
    } else if (nonEmpty(text) !== undefined) {
      given.push({ name, raw: fromText(name, text), origin: "environment", where: variable });
    }
  }
  return given;
}

function readFlags(flags: Overrides, faults: string[]): Given[] {
  const given: Given[] = [];
  for (const [name, value] of Object.entries(flags)) {
    if (value === undefined || (name === "dev" && value !== true)) continue;
    if (name === "dev") {
      given.push({ name: "net.allow_http", raw: true, origin: "flag", where: "--dev" });
      continue;
    }
    if (isKey(name)) given.push({ name, raw: fromText(name, value), origin: "flag", where: "command line" });
    else faults.push(`command line: ${unknown("key", name, KEY_NAMES)}`);
  }
  return given;
}

function fromText(name: KeyName, value: unknown): unknown {
  return typeof value === "string" ? KEYS[name].kind.fromText(value) : value;
}

function isKey(name: string): name is KeyName {
  return Object.hasOwn(KEYS, name);
}

function unknown(what: string, name: string, known: readonly string[]): string {
  const near = suggest(name, known);
  const hint =
    near === null ? "`hookd config print --defaults` shows what there is" : `did you mean ${near}?`;
  return `there is no ${what} ${quote(name).slice(1, -1)}: ${hint}`;
}

function rangeOf(node: unknown): number | undefined {
  if (typeof node !== "object" || node === null || !("range" in node)) return undefined;
  return Array.isArray(node.range) ? node.range[0] : undefined;
}

/** A value on one line, short. */
function quote(raw: unknown): string {
  const text = JSON.stringify(raw) ?? String(raw);
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}

/** An empty variable counts as not set: that is how a shell or a compose file leaves one out. */
function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
