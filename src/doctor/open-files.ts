import { readFileSync } from "node:fs";
import { openFilesMax } from "../lib/open-files.ts";
import { type Check, ok, problem } from "./check.ts";

/**
 * For publishers' connections, the database, and whatever else is open: as many as the API is used by at
 * once.
 */
const OTHERS = 1_024;
const ADVISED = 65_536;

export const openFiles: Check = {
  name: "open files",
  about:
    `The limit (ulimit -n) has room for \`delivery.in_flight_max\` sockets and ${OTHERS} more: that of the ` +
    "running hookd, if there is one, else this shell's, which may not be the service's.",
  run({ config, holder }) {
    const pid = holder.kind === "process" ? holder.pid : null;
    const limit = openFilesMax(() => readFileSync(`/proc/${pid ?? "self"}/limits`, "utf8"));
    const whose = pid === null ? "" : ` for the running hookd (process ${pid})`;
    const needed = config.delivery.inFlightMax + OTHERS;
    if (limit >= needed) {
      return ok(
        `${Number.isFinite(limit) ? limit : "any number"} may be open${whose}; ${needed} may be needed`,
      );
    }
    const fitting = limit - OTHERS;
    const lower = fitting >= 1 ? `, or lower delivery.in_flight_max to ${fitting}` : "";
    return problem(
      `only ${limit} files may be open${whose}; hookd may need ${needed}: ${config.delivery.inFlightMax} ` +
        `attempts in flight (delivery.in_flight_max) and ${OTHERS} for publishers and files`,
      `raise it to ${ADVISED}: \`ulimit -n ${ADVISED}\` before hookd serve, LimitNOFILE=${ADVISED} in a ` +
        `systemd unit, --ulimit nofile=${ADVISED} for a container${lower}`,
    );
  },
};
