import type { Config } from "./config.ts";
import { KEYS, type Key, type KeyName } from "./keys.ts";

const MASK = "***";

/** Whether a key's value must not be shown, in an error neither. */
export function isSecret(name: KeyName): boolean {
  const { kind }: Key<unknown> = KEYS[name];
  return kind.isSecret === true;
}

/** A key's value as it may be shown: a secret that was set is a mask. */
export function shown(name: KeyName, raw: unknown): unknown {
  return isSecret(name) && raw !== KEYS[name].default ? MASK : raw;
}

/** A configuration as it may be shown: of the headers to the collector only the names. */
export function shownConfig(config: Config): Config {
  const names = Object.keys(config.trace.headers);
  const headers = Object.fromEntries(names.map((name) => [name, MASK]));
  return { ...config, trace: { ...config.trace, headers } };
}
