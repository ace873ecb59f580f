import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { settingsYaml } from "../../src/config/example.ts";
import { loadConfig, resolveConfig } from "../../src/config/load.ts";
import { shownConfig } from "../../src/config/secrets.ts";

const SECRET = "only-the-collector-knows";

function fileOf(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), "hookd-config-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const file = join(directory, "hookd.yaml");
  writeFileSync(file, text);
  return file;
}

const endpointOf = (text: string) => loadConfig({ env: { HOOKD_TRACE_ENDPOINT: text } }).trace.endpoint;

test.each([
  ["http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"],
  ["http://[::1]:4318/", "http://[::1]:4318/v1/traces"],
  ["https://collector.example.com/otlp", "https://collector.example.com/otlp/v1/traces"],
  ["https://collector.example.com/otlp/v1/traces/", "https://collector.example.com/otlp/v1/traces"],
])("the collector at %s gets spans at %s", (given, expected) => {
  expect(endpointOf(given)).toBe(expected);
});

test.each([
  "127.0.0.1:4318",
  "grpc://127.0.0.1:4317",
  `https://user:${SECRET}@collector.example.com`,
  "https://collector.example.com/?key=x",
  "https://collector.example.com/#x",
  "http://",
])("a collector is not named by %s", (given) => {
  // It may have a password where none belongs: no fault repeats it.
  const fault = /trace\.endpoint: its value is not an http or https URL .*trace\.headers/;
  expect(() => endpointOf(given)).toThrow(fault);
});

test("headers are a mapping in the file and pairs in the environment", () => {
  const expected = { "x-api-key": `a=${SECRET}`, "x-team": "blue" };
  const file = fileOf(`trace: {headers: {X-Api-Key: "a=${SECRET}", x-team: blue}}\n`);
  expect(loadConfig({ file, env: {} }).trace.headers).toEqual(expected);
  const env = { HOOKD_TRACE_HEADERS: `x-api-key=a=${SECRET}, x-team = blue` };
  expect(loadConfig({ env }).trace.headers).toEqual(expected);
});

test.each([
  `{"bad name": ${SECRET}}`,
  `{host: ${SECRET}}`,
  `{x-key: "${SECRET}\\r\\nx-other: 1"}`,
  `{x-key: ["${SECRET}"]}`,
  `["${SECRET}"]`,
  SECRET,
])("headers that are none are refused without being shown", (given) => {
  const file = fileOf(`trace:\n  headers: ${given}\n`);
  let message = "";
  try {
    loadConfig({ file, env: {} });
  } catch (error) {
    message = (error as Error).message;
  }
  expect(message).toContain("hookd.yaml:2: trace.headers: its value is not up to 20 header names");
  expect(message).not.toContain(SECRET);
});

test("headers are shown nowhere: what was set is a mask", () => {
  const resolved = resolveConfig({ env: { HOOKD_TRACE_HEADERS: `x-api-key=${SECRET}` } });
  const shown =
    settingsYaml(resolved.settings) + JSON.stringify([shownConfig(resolved.config), resolved.settings]);
  expect(shown).not.toContain(SECRET);
  expect(settingsYaml(resolved.settings)).toContain('headers: "***" # HOOKD_TRACE_HEADERS, restart');
  expect(shownConfig(resolved.config).trace.headers).toEqual({ "x-api-key": "***" });
});
