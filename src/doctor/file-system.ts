import { statfsSync } from "node:fs";
import { type Check, type Finding, ok, problem, warning } from "./check.ts";
import { nearestDirectory } from "./writable.ts";

type Kind = "memory" | "network" | "container" | "unknown";

/** By statfs(2), f_type. All others are local disks, or as good. */
const FILE_SYSTEMS: ReadonlyMap<number, readonly [name: string, kind: Kind]> = new Map([
  [0x01021994, ["tmpfs", "memory"]],
  [0x858458f6, ["ramfs", "memory"]],
  [0x6969, ["NFS", "network"]],
  [0xff534d42, ["CIFS", "network"]],
  [0xfe534d42, ["SMB", "network"]],
  [0x01021997, ["9p", "network"]],
  [0x794c7630, ["overlay", "container"]],
  [0x65735546, ["FUSE", "unknown"]],
]);

export const fileSystem: Check = {
  name: "file system",
  about:
    "The data directory is on a local disk: one in memory, in a container's own layer or under FUSE is a " +
    "warning, one over the network a problem.",
  run({ config }) {
    const directory = nearestDirectory(config.dataDir);
    const found = FILE_SYSTEMS.get(statfsSync(directory).type);
    return found === undefined ? ok(`${directory} is on a local disk`) : judge(directory, ...found);
  },
};

function judge(directory: string, name: string, kind: Kind): Finding {
  switch (kind) {
    case "memory":
      return warning(
        `${directory} is in memory (${name}): a restart of the machine loses all of it`,
        "put data_dir on a disk",
      );
    case "container":
      return warning(
        `${directory} is in a container's own layer (${name}): it goes with the container`,
        "mount a volume for data_dir",
      );
    case "network":
      return problem(
        `${directory} is on ${name}: SQLite's locks and syncs are not safe there`,
        "put data_dir on a disk of this machine",
      );
    case "unknown":
      return warning(
        `${directory} is on ${name}, which may or may not lock and sync as a disk does`,
        "put data_dir on a disk of this machine",
      );
    default:
      return kind satisfies never;
  }
}
