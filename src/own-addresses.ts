import { networkInterfaces } from "node:os";
import type { Config } from "./config/config.ts";

/** Addresses of this machine: a webhook must not reach hookd itself by them. */
export function ownAddresses(config: Config): string[] {
  const interfaces = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return [config.listen.host, ...interfaces.map(({ address }) => address)];
}
