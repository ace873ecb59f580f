import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import type { Config } from "./config/config.ts";

/**
 * Addresses of this machine: a webhook must not reach hookd itself by them. A name that hookd listens on is one of its
 * interfaces'.
 */
export function ownAddresses(config: Config): string[] {
  const interfaces = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const { host } = config.listen;
  return [...(isIP(host) === 0 ? [] : [host]), ...interfaces.map(({ address }) => address)];
}
