import type { Config } from "./config.ts";
import { KEY_NAMES, KEYS, type KeyName, type Values } from "./keys.ts";
import { configOf, type Resolved } from "./load.ts";

/** A key whose value is another one, as YAML writes both. */
export interface Change {
  readonly name: KeyName;
  readonly isLive: boolean;
  readonly from: unknown;
  readonly to: unknown;
}

export function changesBetween(before: Resolved, after: Resolved): readonly Change[] {
  return KEY_NAMES.filter(
    (name) => JSON.stringify(before.values[name]) !== JSON.stringify(after.values[name]),
  ).map((name) => ({ name, isLive: isLive(name), from: rawOf(before, name), to: rawOf(after, name) }));
}

/** What is in force once the live ones of the changes are taken up: everything else stays as it was. */
export function withLive(before: Resolved, after: Resolved): Resolved {
  const values = KEY_NAMES.map((name) => [name, (isLive(name) ? after : before).values[name]]);
  const settings = before.settings.map(
    (setting) =>
      (isLive(setting.name) ? after.settings.find(({ name }) => name === setting.name) : null) ?? setting,
  );
  const merged = Object.fromEntries(values) as Values;
  return { values: merged, settings, config: configOf(merged, before.config.dev) };
}

/** Puts the values into the configuration that a thread's parts all hold and read. */
export function replaceConfig(config: Config, next: Config): void {
  Object.assign(config, next);
}

function isLive(name: KeyName): boolean {
  return KEYS[name].change === "live";
}

function rawOf({ settings }: Resolved, name: KeyName): unknown {
  return settings.find((setting) => setting.name === name)?.raw;
}
