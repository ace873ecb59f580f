import { type Check, type Finding, type Installation, ok, problem, skipped, warning } from "./check.ts";

const REMEDIES: Readonly<Record<string, string>> = {
  disk_full: "free space in the data directory: see disk space above",
  shutting_down: "it ends what is in flight, delivery.drain at most; start it again after that",
  store_unavailable: "look at its log: it is starting, or its disk does not answer",
};

export const daemon: Check = {
  name: "daemon",
  about: "A running hookd answers and takes events (/readyz); replaced sender threads are a warning.",
  run(site) {
    const { daemon: answers, holder, server } = site;
    if (answers === null) return silent(site);
    const where = `hookd ${answers.version} at ${server?.origin}`;
    const foreign = holder.kind === "none" ? `, which does not use ${site.config.dataDir},` : "";
    if (answers.refusal !== null) {
      const { code, detail } = answers.refusal;
      return problem(
        `${where}${foreign} takes no events: ${detail}`,
        REMEDIES[code] ??
          "look at its log; `hookd version` and --server tell whether the right one was asked",
      );
    }
    const restarts = answers.metric("hookd_sender_restarts_total") ?? 0;
    if (restarts > 0) {
      return warning(
        `${where}${foreign} had to replace ${restarts} sender threads`,
        'look for "a sender failed" in its log, and report it',
      );
    }
    return ok(`${where}${foreign} takes events`);
  },
};

function silent({ holder, server, asked }: Installation): Finding {
  const where = server === null ? "" : ` at ${server.origin}`;
  if (holder.kind === "process") {
    return problem(
      `hookd (process ${holder.pid}) has the database open, but does not answer${where}`,
      "if it has just been started, wait; if it listens elsewhere, name it: --server; " +
        "else look at its log, and restart it",
    );
  }
  if (asked.server !== null) {
    return problem(`no hookd answers${where}`, "start it: hookd serve; or name another address: --server");
  }
  return skipped("hookd is not running", "start it with: hookd serve");
}
