import { createServer } from "node:net";
import type { ListenAddress } from "../config/kinds.ts";
import { type Check, type Finding, type Installation, ok, problem } from "./check.ts";
import { listeners, listenersOf, ownerOf, processName } from "./listeners.ts";

export const listenAddress: Check = {
  name: "listen address",
  about: "`listen` is free, or is the running hookd's.",
  async run(site) {
    const { listen } = site.config;
    const shown = `${listen.host.includes(":") ? `[${listen.host}]` : listen.host}:${listen.port}`;
    if (site.holder.kind === "process") return running(site, site.holder.pid, shown);
    if (listen.port === 0) return ok("any free port");
    const code = await tryToListen(listen);
    if (code === null) return ok(`${shown} is free`);
    if (code === "EADDRINUSE") return taken(site, shown);
    if (code === "EACCES") {
      return problem(
        `this user may not listen on ${shown}: ports below 1024 are root's`,
        "choose a port from 1024 (listen, --listen), or allow it: " +
          "AmbientCapabilities=CAP_NET_BIND_SERVICE in a systemd unit",
      );
    }
    return problem(
      `${shown} cannot be listened on: ${code}`,
      "name an address of this machine (ip addr shows them) in listen, or with --listen",
    );
  },
};

/** Not tried out: hookd may be about to listen, and would find the port taken by its doctor. */
function running({ config, daemon, server }: Installation, pid: number, shown: string): Finding {
  const own = listenersOf(pid);
  if (own?.some(({ port }) => port === config.listen.port) === true) {
    return ok(`${shown} is in use by the running hookd (process ${pid}), as it should be`);
  }
  const [first] = own ?? [];
  if (first !== undefined) return ok(`hookd (process ${pid}) listens on ${first.host}:${first.port}`);
  if (daemon !== null) return ok(`hookd (process ${pid}) answers at ${server?.origin}`);
  return problem(
    `hookd (process ${pid}) has the database open, and listens on no port that this user can see`,
    "if it has just been started, wait; else look at its log, and run doctor as its user",
  );
}

function taken({ config, daemon, holder, server }: Installation, shown: string): Finding {
  const sockets = listeners().filter(({ port }) => port === config.listen.port);
  const pid = ownerOf(sockets);
  const isHookd = daemon !== null && Number(server?.port) === config.listen.port;
  if (isHookd && holder.kind === "unknown") return ok(`${shown} is in use by a running hookd`);
  const other = isHookd
    ? `a hookd on another data directory than ${config.dataDir}`
    : "another user's process";
  const who = pid === null ? other : `${processName(pid)}${isHookd ? `, ${other}` : ""}`;
  return problem(
    `${shown} is taken by ${who}`,
    `stop that (ss -ltnp 'sport = :${config.listen.port}' shows it), or choose another address (--listen)`,
  );
}

/** The code of the error, null where it can be listened on. */
function tryToListen({ host, port }: ListenAddress): Promise<string | null> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)));
  });
}
