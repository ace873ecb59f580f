import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { exampleYaml, settingsYaml } from "../../src/config/example.ts";
import { environmentName, KEY_NAMES, KEYS, type Key } from "../../src/config/keys.ts";
import { ConfigError, loadConfig, type Overrides, resolveConfig } from "../../src/config/load.ts";

const EXAMPLE = join(import.meta.dirname, "../../config.example.yaml");
const directories: string[] = [];

function fileOf(text: string | Uint8Array): string {
  const directory = mkdtempSync(join(tmpdir(), "hookd-config-"));
  directories.push(directory);
  const file = join(directory, "hookd.yaml");
  writeFileSync(file, text);
  return file;
}

function faultOf(source: { text?: string; env?: Record<string, string>; flags?: Overrides }): string {
  const file = source.text === undefined ? {} : { file: fileOf(source.text) };
  try {
    loadConfig({ env: source.env ?? {}, flags: source.flags ?? {}, ...file });
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message;
  }
  throw new Error("the configuration was taken");
}

afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

describe("the table of keys", () => {
  it("gives each a default that is of its own kind, and an example that is one too", () => {
    for (const name of KEY_NAMES) {
      const { kind, default: raw, why }: Key<unknown> = KEYS[name];
      expect(kind.parse(raw), name).not.toBeUndefined();
      const example = kind.example.replaceAll(/[[\]"]/g, "");
      expect(kind.parse(kind.fromText(example)), `${name}: ${example}`).not.toBeUndefined();
      expect(why, name).toMatch(/\.$/);
    }
  });

  it("has no two keys with one name in the environment", () => {
    expect(new Set(KEY_NAMES.map(environmentName)).size).toBe(KEY_NAMES.length);
  });
});

describe("config.example.yaml", () => {
  it("is what the table of keys says", () => {
    expect(readFileSync(EXAMPLE, "utf8")).toBe(exampleYaml());
  });

  it("is complete, and equals the defaults", () => {
    const { config, settings } = resolveConfig({ file: EXAMPLE, env: {} });
    expect(config).toEqual(loadConfig({ env: {} }));
    expect(settings.map(({ name }) => name)).toEqual(KEY_NAMES);
    expect(settings.filter(({ origin }) => origin !== "file")).toEqual([]);
  });
});

describe("loading", () => {
  it("needs nothing at all", () => {
    const config = loadConfig({ env: {} });
    expect(config.listen).toEqual({ host: "127.0.0.1", port: 8420 });
    expect(config.dataDir).toBe(resolve("hookd-data"));
    expect(config.delivery.timeoutMs).toBe(15_000);
    expect(config.limits.batchBytes).toBe(8 * 1024 * 1024);
    expect(config.security.masterKeyFile).toBeNull();
    expect(config.retention.archiveDir).toBeNull();
    expect(config.dev).toBe(false);
  });

  it("makes the archive's directory absolute, from wherever it is set", () => {
    const file = fileOf("retention: {archive_dir: cold/storage}\n");
    expect(loadConfig({ file, env: {} }).retention.archiveDir).toBe(resolve("cold/storage"));
    const env = { HOOKD_RETENTION_ARCHIVE_DIR: "/cold" };
    expect(loadConfig({ file, env }).retention.archiveDir).toBe("/cold");
  });

  it("takes the file over the defaults, the environment over the file, flags over the environment", () => {
    const file = fileOf("delivery: {timeout: 1s, drain: 2s, age_max: 3h}\n");
    const { config, settings } = resolveConfig({
      file,
      env: { HOOKD_DELIVERY_DRAIN: "4s", HOOKD_DELIVERY_AGE_MAX: "5h" },
      flags: { "delivery.age_max": "6h" },
    });
    expect(config.delivery).toMatchObject({ timeoutMs: 1000, drainMs: 4000, ageMaxMs: 6 * 3_600_000 });
    const origins = Object.fromEntries(settings.map(({ name, origin }) => [name, origin]));
    expect(origins).toMatchObject({
      "delivery.timeout": "file",
      "delivery.drain": "environment",
      "delivery.age_max": "flag",
      "delivery.in_flight_max": "default",
    });
  });

  it("crosses threads", () => {
    const config = loadConfig({ env: {} });
    expect(structuredClone(config)).toEqual(config);
  });

  it("reads the file that HOOKD_CONFIG names, unless one is given", () => {
    const first = fileOf("delivery: {timeout: 1s}");
    const second = fileOf("delivery: {timeout: 2s}");
    expect(loadConfig({ env: { HOOKD_CONFIG: first } }).delivery.timeoutMs).toBe(1000);
    expect(loadConfig({ file: second, env: { HOOKD_CONFIG: first } }).delivery.timeoutMs).toBe(2000);
  });

  it("takes every kind of value from the environment", () => {
    const config = loadConfig({
      env: {
        HOOKD_LISTEN: "[::1]:0",
        HOOKD_DATA_DIR: "/srv/hookd",
        HOOKD_NET_ALLOW: "10.0.0.0/8, fd00::/8",
        HOOKD_NET_ALLOW_HTTP: "true",
        HOOKD_NET_DNS_SERVERS: "127.0.0.1:5353,::1",
        HOOKD_RETRY_SCHEDULE: "1s,2s",
        HOOKD_RETRY_PERMANENT: "4xx,!429",
        HOOKD_RETRY_JITTER: "0",
        HOOKD_DELIVERY_SENDERS: "3",
        HOOKD_LIMITS_PAYLOAD_BYTES: "1KiB",
        HOOKD_LOG_LEVEL: "",
        HOOKD_SERVER: "http://elsewhere",
        PATH: "/bin",
      },
    });
    expect(config).toMatchObject({
      listen: { host: "::1", port: 0 },
      dataDir: "/srv/hookd",
      net: { allow: ["10.0.0.0/8", "fd00::/8"], allowHttp: true, dnsServers: ["127.0.0.1:5353", "::1"] },
      retry: { policy: { kind: "list", delaysMs: [1000, 2000] }, permanent: ["4xx", "!429"], jitter: 0 },
      delivery: { senders: 3 },
      limits: { payloadBytes: 1024 },
      log: { level: "info" },
    });
  });

  it("takes an exponential schedule, in the file and in one line", () => {
    const policy = { kind: "exponential", baseMs: 60_000, factor: 2, maxMs: 3_600_000, attempts: 8 };
    const file = fileOf("retry:\n  schedule: {base: 1m, factor: 2, max: 1h, attempts: 8}\n");
    expect(loadConfig({ file, env: {} }).retry.policy).toEqual(policy);
    const env = { HOOKD_RETRY_SCHEDULE: "base=1m,factor=2,max=1h,attempts=8" };
    expect(loadConfig({ env }).retry.policy).toEqual(policy);
  });

  it("takes a file without anything in it, and sections without keys", () => {
    expect(loadConfig({ file: fileOf(""), env: {} })).toEqual(loadConfig({ env: {} }));
    expect(loadConfig({ file: fileOf("# all\ndelivery:\n"), env: {} })).toEqual(loadConfig({ env: {} }));
  });

  it("opens http and loopback with dev, and only there", () => {
    const { net } = loadConfig({ env: {}, flags: { dev: true } });
    expect(net).toMatchObject({ allowHttp: true, allowLoopback: true });
    expect(loadConfig({ env: {} }).net).toMatchObject({ allowHttp: false, allowLoopback: false });
  });
});

describe("faults", () => {
  it.each(["0.0.0.0:8420", "[::]:80", "hookd.example.com:80", "192.168.0.1:80"])(
    "dev refuses to listen on %s",
    (listen) => {
      expect(faultOf({ flags: { dev: true, listen } })).toMatch(/--dev.*127\.0\.0\.1/);
    },
  );

  it("an unknown key is named with its line and what was probably meant", () => {
    const fault = faultOf({ text: "delivery:\n  timeout: 1s\n  drian: 2s\n" });
    expect(fault).toMatch(/hookd\.yaml:3: there is no key delivery\.drian: did you mean delivery\.drain\?/);
    expect(faultOf({ text: "delivery: {timeoutMs: 1}" })).toMatch(/did you mean delivery\.timeout\?/);
    expect(faultOf({ text: "zzzzzzzzzz: 1" })).toMatch(/config print --defaults/);
  });

  it("an unknown variable too", () => {
    expect(faultOf({ env: { HOOKD_STOR_URL: "x" } })).toMatch(
      /HOOKD_STOR_URL: did you mean HOOKD_STORE_URL\?/,
    );
  });

  it.each([
    [
      "delivery: {timeout: 15}",
      /delivery\.timeout: 15 is not a duration from 100ms to 30s.*for example: 15s/,
    ],
    ["delivery: {timeout: 1h}", /"1h" is not a duration from 100ms to 30s/],
    ["delivery: {timeout: null}", /null is not a duration/],
    ["delivery: {timeout: {a: 1}}", /\{"a":1\} is not a duration/],
    ["delivery: {senders: few}", /"few" is not "auto", or a whole number from 1 to 64/],
    ["limits: {payload_bytes: 1KB}", /"1KB" is not a size/],
    ["limits: {queue_depth: 1.5}", /1\.5 is not a whole number/],
    ["listen: 8420", /8420 is not host:port/],
    ["listen: 300.1.1.1:80", /is not host:port/],
    ["listen: localhost:70000", /is not host:port/],
    ["store: {url: postgres://db}", /"postgres:\/\/db" is not "sqlite"/],
    ["net: {allow: [10.0.0.1/8]}", /is not a list of CIDRs/],
    ["net: {allow: 10.0.0.0/8}", /is not a list of CIDRs/],
    ["net: {dns_servers: [dns.example]}", /is not a list of addresses/],
    ["net: {allow_http: yes}", /"yes" is not true or false/],
    ["retry: {schedule: [1s, soon]}", /is not a list of at most 50 durations/],
    ["retry: {schedule: {base: 1s}}", /is not a list of at most 50 durations/],
    ["retry: {permanent: [5xy]}", /is not a list of statuses/],
    ["log: {level: loud}", /is not one of trace, debug/],
    ["security: {master_key_file: ''}", /is not a path/],
    ["delivery: 5", /delivery must be a mapping/],
    ["- a\n- b", /the file must be a mapping/],
    ["breaker: {probe: 10m}", /breaker\.probe_max is shorter than breaker\.probe/],
    ["limits: {payload_bytes: 2MiB, batch_bytes: 1MiB}", /batch_bytes is less/],
    ["__proto__: {dev: true}", /there is no key __proto__/],
  ])("%s", (text, fault) => {
    expect(faultOf({ text })).toMatch(fault);
  });

  it("are told all at once", () => {
    const fault = faultOf({ text: "delivery:\n  timeout: 1\n  drain: 2\n", env: { HOOKD_LOG_LEVEL: "x" } });
    expect(fault.split("\n")).toHaveLength(3);
    expect(fault).toMatch(/yaml:2: delivery\.timeout/);
    expect(fault).toMatch(/yaml:3: delivery\.drain/);
    expect(fault).toMatch(/HOOKD_LOG_LEVEL: log\.level/);
  });

  it("a file that is no YAML, is not there, is a directory, is not UTF-8 or is huge", () => {
    expect(faultOf({ text: "a: 1\nb: [1\n" })).toMatch(/hookd\.yaml:\d+: not valid YAML/);
    expect(faultOf({ text: "delivery: {}\ndelivery: {}\n" })).toMatch(/hookd\.yaml:2: not valid YAML/);
    expect(() => loadConfig({ file: "/nonexistent/hookd.yaml", env: {} })).toThrow(/cannot be read: ENOENT/);
    expect(() => loadConfig({ file: tmpdir(), env: {} })).toThrow(/cannot be read: EISDIR/);
    expect(() => loadConfig({ file: fileOf(new Uint8Array([0xff, 0xfe])), env: {} })).toThrow(
      /cannot be read/,
    );
    expect(() => loadConfig({ file: fileOf("#".repeat(2 ** 20 + 1)), env: {} })).toThrow(/1048577 bytes/);
  });

  it("aliases that multiply are refused, not expanded", () => {
    const lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"];
    for (let level = 1; level < 9; level += 1) {
      lines.push(
        `a${level}: &a${level} [${Array(10)
          .fill(`*a${level - 1}`)
          .join(",")}]`,
      );
    }
    expect(faultOf({ text: lines.join("\n") })).toMatch(/not valid YAML/);
  });
});

describe("printing", () => {
  it("what is printed is read as the same configuration", () => {
    const env = {
      HOOKD_RETRY_SCHEDULE: "base=1m,attempts=3",
      HOOKD_NET_ALLOW: "::/0",
      HOOKD_LISTEN: "[::1]:80",
    };
    const { config, settings } = resolveConfig({ env });
    const text = settingsYaml(settings);
    expect(text).toMatch(/schedule: \{base: 1m, attempts: 3\} # HOOKD_RETRY_SCHEDULE/);
    expect(loadConfig({ file: fileOf(text), env: {} })).toEqual(config);
  });
});

it("backups do not go where the database is", () => {
  expect(faultOf({ text: "data_dir: ./d\nbackup: {dir: d/../d}" })).toMatch(/backup\.dir is data_dir/);
});

it("null can be given by the environment where a key takes it", () => {
  const env = { HOOKD_RETENTION_ARCHIVE_DIR: "null", HOOKD_TRACE_ENDPOINT: "null", HOOKD_BACKUP_DIR: "null" };
  const config = loadConfig({ env });
  expect(config.retention.archiveDir).toBeNull();
  expect(config.trace.endpoint).toBeNull();
  expect(config.backup.dir).toMatch(/backups$/);
});

it("what is in force with --dev is told as it is", () => {
  const { settings } = resolveConfig({ env: {}, flags: { dev: true } });
  expect(settings.find(({ name }) => name === "net.allow_http")).toMatchObject({ raw: true, origin: "flag" });
});
