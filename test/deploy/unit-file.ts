/** What each section of a unit may say: the directives that hookd's unit uses, as systemd.unit(5) and the like have them. */
const DIRECTIVES: Readonly<Record<string, readonly string[]>> = {
  Unit: ["Description", "Documentation", "Wants", "After", "StartLimitIntervalSec", "StartLimitBurst"],
  Service: [
    "AmbientCapabilities",
    "CapabilityBoundingSet",
    "DynamicUser",
    "Environment",
    "ExecReload",
    "ExecStart",
    "IPAddressAllow",
    "IPAddressDeny",
    "KillSignal",
    "LimitCORE",
    "LimitNOFILE",
    "LockPersonality",
    "MemoryDenyWriteExecute",
    "NoNewPrivileges",
    "PrivateDevices",
    "PrivateTmp",
    "PrivateUsers",
    "ProtectClock",
    "ProtectControlGroups",
    "ProtectHome",
    "ProtectHostname",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "ProtectProc",
    "ProtectSystem",
    "RemoveIPC",
    "Restart",
    "RestartPreventExitStatus",
    "RestartSec",
    "RestrictAddressFamilies",
    "RestrictNamespaces",
    "RestrictRealtime",
    "RestrictSUIDSGID",
    "StateDirectory",
    "StateDirectoryMode",
    "SystemCallArchitectures",
    "SystemCallErrorNumber",
    "SystemCallFilter",
    "TimeoutStopSec",
    "Type",
    "UMask",
    "WorkingDirectory",
  ],
  Install: ["WantedBy"],
};

/** Directives and their values, in order; one may be given several times. */
export type Unit = ReadonlyMap<string, readonly string[]>;

/** Reads a unit, and throws for a line that systemd would pass over: no directive, an unknown one, a wrong section. */
export function parseUnit(text: string): Unit {
  const unit = new Map<string, string[]>();
  let section = "";
  for (const [index, line] of text.split("\n").entries()) {
    if (line === "" || line.startsWith("#")) continue;
    const heading = /^\[(\w+)\]$/.exec(line)?.[1];
    if (heading !== undefined) {
      section = heading;
      continue;
    }
    const [, name = "", value = ""] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (!DIRECTIVES[section]?.includes(name))
      throw new Error(`line ${index + 1}: [${section}] takes no ${line}`);
    unit.set(name, [...(unit.get(name) ?? []), value]);
  }
  return unit;
}
