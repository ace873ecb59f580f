import { getServers, Resolver } from "node:dns";
import { type Check, ok, problem, warning } from "./check.ts";

/**
 * As the sender's resolver has it (src/sender/resolver.ts): what is slower than this is no answer there
 * either.
 */
const QUERY_MS = 600;
const QUERY_TRIES = 2;
/**
 * The root's own servers: what every name server can find out if it can find out anything, and nobody's
 * secret.
 */
const QUESTION = ".";
/** Answers that say: not this one. The server is alive. */
const EMPTY_ANSWERS = ["ENODATA", "ENOTFOUND"];

interface Answer {
  readonly server: string;
  /** Null: it answered. */
  readonly fault: "no answer" | "refuses" | null;
  readonly code: string;
  readonly tookMs: number;
}

export const nameServers: Check = {
  name: "name servers",
  about:
    `Each of \`net.dns_servers\`, or else of the system's, answers within ${QUERY_MS} ms or at a second ` +
    "try. None does: a problem. Some do not, or fail to find out: a warning.",
  async run({ config }) {
    const isConfigured = config.net.dnsServers.length > 0;
    const servers = isConfigured ? config.net.dnsServers : getServers();
    const whose = isConfigured ? "net.dns_servers" : "/etc/resolv.conf";
    if (servers.length === 0) {
      return problem("there is no name server", "name one in /etc/resolv.conf, or in net.dns_servers");
    }
    const answers = await Promise.all(servers.map(ask));
    const dead = answers.filter(({ fault }) => fault === "no answer");
    const failing = answers.filter(({ fault }) => fault === "refuses");
    const remedy =
      `put name servers that answer into ${whose}; see whether a firewall drops port 53 ` +
      `(try: dig @${servers[0]?.replace(/:(\d+)$/, " -p $1")} .)`;
    if (dead.length > 0) {
      const names = dead.map(({ server }) => server).join(", ");
      const found = `${names} (${whose}) ${dead.length === 1 ? "does" : "do"} not answer`;
      if (dead.length === servers.length) {
        return problem(`${found}: no receiver with a name can be found`, remedy);
      }
      return warning(`${found}: looking up a receiver takes ${QUERY_MS} ms longer, or fails`, remedy);
    }
    if (failing.length > 0) {
      const names = failing.map(({ server, code }) => `${server} (${code})`).join(", ");
      return warning(`${names} in ${whose}: answers, but could not find out the root's servers`, remedy);
    }
    const slowest = Math.max(...answers.map(({ tookMs }) => tookMs));
    return ok(`${servers.join(", ")} (${whose}): answered within ${Math.ceil(slowest)} ms`);
  },
};

function ask(server: string): Promise<Answer> {
  const resolver = new Resolver({ timeout: QUERY_MS, tries: QUERY_TRIES });
  resolver.setServers([server]);
  const startedMono = performance.now();
  return new Promise((resolve) => {
    resolver.resolveNs(QUESTION, (error) => {
      const code = error?.code ?? "";
      resolve({ server, fault: faultOf(code), code, tookMs: performance.now() - startedMono });
    });
  });
}

function faultOf(code: string): Answer["fault"] {
  if (code === "" || EMPTY_ANSWERS.includes(code)) return null;
  return code === "ETIMEOUT" || code === "ECONNREFUSED" ? "no answer" : "refuses";
}
