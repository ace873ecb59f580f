import { compileAddressPolicy } from "../domain/address.ts";
import { bareHost, parseCallbackUrl } from "../domain/url.ts";
import { systemClock } from "../lib/clock.ts";
import { ownAddresses } from "../own-addresses.ts";
import { Dialer, type Endpoint } from "../sender/connector.ts";
import { Deadlines } from "../sender/deadlines.ts";
import { NameResolver } from "../sender/resolver.ts";
import { type Check, type Finding, type Installation, ok, problem, skipped, warning } from "./check.ts";

/** Hosts connected to; more are left out. Each may take 12 s: resolving, connecting, TLS. */
const HOSTS_MAX = 100;
const AT_ONCE = 10;
/** Named in the finding. */
const SHOWN_MAX = 5;

export const reach: Check = {
  name: "receivers",
  about:
    `With \`--reach\`: up to ${HOSTS_MAX} of the webhooks' hosts can be connected to, with TLS, as ` +
    "deliveries would, and nothing is sent. None of several can: a problem. Some cannot: a warning.",
  async run(site, tell) {
    const { callbackUrls } = site.asked;
    if (callbackUrls === null) return skipped("not connected to", "connect to the webhooks' hosts: --reach");
    if (site.server === null || site.daemon === null) {
      return skipped("only a running hookd knows the webhooks", "start it, or name it: --server");
    }
    const urls = await callbackUrls(site.server, site.config.dataDir);
    const { endpoints, refused } = endpointsOf(urls, site);
    const failures = [...refused];
    const some = endpoints.slice(0, Math.max(0, HOSTS_MAX - refused.length));
    failures.push(...(await connectAll(some, site, tell)));
    return judge(refused.length + some.length, failures, endpoints.length - some.length);
  },
};

function judge(tried: number, failures: readonly string[], leftOut: number): Finding {
  const rest = leftOut === 0 ? "" : ` (${leftOut} more were left out)`;
  if (tried === 0) return ok("there are no webhooks yet");
  if (failures.length === 0) return ok(`all ${tried} hosts of webhooks can be connected to${rest}`);
  const more = failures.length > SHOWN_MAX ? `, and ${failures.length - SHOWN_MAX} more` : "";
  const shown = `${failures.slice(0, SHOWN_MAX).join("; ")}${more}${rest}`;
  if (failures.length === tried && tried > 1) {
    return problem(
      `none of ${tried} hosts can be connected to: ${shown}`,
      "see whether this machine may connect to the outside: firewall, routes, name servers",
    );
  }
  return warning(
    `${failures.length} of ${tried} hosts cannot be connected to: ${shown}`,
    "ask those who run them; a private address has to be in net.allow",
  );
}

/**
 * One for each origin. What the policy refuses is a failure without a connection. Paths may hold secrets: not
 * shown.
 */
function endpointsOf(
  urls: readonly string[],
  site: Installation,
): { endpoints: Endpoint[]; refused: string[] } {
  const { allowHttp, allowLoopback } = site.config.net;
  const policy = policyOf(site);
  const endpoints = new Map<string, Endpoint>();
  const refused = new Map<string, string>();
  for (const text of urls) {
    const { origin, hostname, protocol, port } = new URL(text);
    const verdict = parseCallbackUrl(text, { allowHttp, allowLoopback, policy });
    if (!verdict.ok) {
      refused.set(origin, `${origin}: ${verdict.why}`);
      continue;
    }
    const isTls = protocol === "https:";
    const number = port === "" ? (isTls ? 443 : 80) : Number(port);
    endpoints.set(origin, { origin, host: bareHost(hostname).replace(/\.$/, ""), port: number, isTls });
  }
  return { endpoints: [...endpoints.values()], refused: [...refused.values()] };
}

/**
 * By the sender's own dialer: it resolves, checks every address and pins the connection to what it checked.
 */
async function connectAll(
  endpoints: readonly Endpoint[],
  site: Installation,
  tell: (progress: string) => void,
): Promise<string[]> {
  const { allowLoopback, caFile, dnsServers } = site.config.net;
  const deadlines = new Deadlines(systemClock);
  const resolver = new NameResolver(systemClock, deadlines, dnsServers);
  const dialer = new Dialer({
    clock: systemClock,
    deadlines,
    policy: policyOf(site),
    resolver,
    allowLoopback,
    caFile,
  });
  const failures: string[] = [];
  let done = 0;
  const waiting = endpoints.values();
  const connectInTurn = async () => {
    for (const endpoint of waiting) {
      const failure = await connect(dialer, endpoint);
      if (failure !== null) failures.push(failure);
      done += 1;
      tell(`${done} of ${endpoints.length} hosts`);
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, connectInTurn));
  } finally {
    deadlines.stop();
    resolver.stop();
  }
  return failures;
}

/** Null for a connection, which is closed again; else what failed. */
function connect(dialer: Dialer, endpoint: Endpoint): Promise<string | null> {
  return new Promise((resolve) => {
    dialer.dial(
      endpoint,
      (failure, socket) => {
        socket?.destroy();
        const name = endpoint.origin;
        resolve(
          failure === null ? null : `${name}: ${failure.kind}: ${failure.message.replace(`${name}: `, "")}`,
        );
      },
      () => {},
    );
  });
}

function policyOf({ config }: Installation) {
  const { allow, allowLoopback, nat64 } = config.net;
  return compileAddressPolicy({ allow, allowLoopback, nat64, own: ownAddresses(config) });
}
