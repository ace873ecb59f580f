import { BlockList, isIP } from "node:net";
import { compileAddressPolicy } from "../domain/address.ts";
import { type Check, ok, warning } from "./check.ts";

/**
 * Shorter prefixes open more than a network of one's own: 10.0.0.0/8 is the largest private one, fc00::/7 of
 * IPv6.
 */
const PREFIX_MIN = { ipv4: 8, ipv6: 7 } as const;
const METADATA = "169.254.169.254";
const LOOPBACK = { ipv4: "127.0.0.1", ipv6: "::1" } as const;

export const addressRules: Check = {
  name: "net.allow",
  about:
    "Entries that open this machine itself or whole address spaces, have no effect, or are there twice, " +
    "and `net.allow_http`: a warning.",
  run({ config }) {
    const { allow, allowHttp } = config.net;
    const odd = allow.flatMap((cidr, index) =>
      allow.indexOf(cidr) === index ? oddityOf(cidr) : [`${cidr} is there twice`],
    );
    if (allowHttp && !config.dev) {
      odd.push("net.allow_http lets payloads travel in the clear");
    }
    if (odd.length > 0) {
      return warning(
        odd.join("; "),
        "keep in net.allow what receivers need, and no more; use https where it can be",
      );
    }
    if (config.dev) return ok("--dev: loopback and http are open, as they must not be in production");
    return ok(allow.length === 0 ? "public addresses only" : `public addresses, and ${allow.join(", ")}`);
  },
};

function oddityOf(cidr: string): string[] {
  const [address = "", prefix = ""] = cidr.split("/");
  const family = isIP(address) === 4 ? "ipv4" : "ipv6";
  const range = new BlockList();
  range.addSubnet(address, Number(prefix), family);
  if (Number(prefix) < PREFIX_MIN[family]) {
    return [`${cidr} opens nearly everything: webhooks may reach what is behind your firewall`];
  }
  if (range.check(LOOPBACK[family], family)) {
    return [
      `${cidr} opens this machine itself: webhooks may reach hookd's API and what else listens on loopback`,
    ];
  }
  if (range.check(METADATA, "ipv4"))
    return [`${cidr} has no effect for cloud metadata, which is never delivered to`];
  const policy = compileAddressPolicy({ allow: [], allowLoopback: false, nat64: false, own: [] });
  return policy.check(address).ok ? [`${cidr} has no effect: its addresses are public`] : [];
}
