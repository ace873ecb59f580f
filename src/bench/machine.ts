import { readFileSync, statfsSync, statSync } from "node:fs";
import { availableParallelism, cpus, release, totalmem } from "node:os";

/** What a result was measured on. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly disk: Disk;
}

export interface Disk {
  readonly device: string;
  readonly fileSystem: string;
  readonly freeBytes: number;
}

export function describeMachine(directory: string): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: release(),
    disk: describeDisk(directory),
  };
}

/** The device by its number: a path may lie on a mount with another name. */
function describeDisk(directory: string): Disk {
  const { bavail, bsize } = statfsSync(directory);
  const found = mountOf(statSync(directory).dev);
  return {
    device: found?.device ?? "unknown",
    fileSystem: found?.fileSystem ?? "unknown",
    freeBytes: bavail * bsize,
  };
}

/** Major and minor, as Linux writes them: glibc's gnu_dev_major and gnu_dev_minor, for the numbers in use. */
export function deviceNumber(device: number): string {
  return `${(device >> 8) & 0xfff}:${(device & 0xff) | ((device >> 12) & 0xfff00)}`;
}

function mountOf(device: number): { device: string; fileSystem: string } | null {
  const number = deviceNumber(device);
  let text: string;
  try {
    text = readFileSync("/proc/self/mountinfo", "utf8");
  } catch {
    return null;
  }
  for (const line of text.split("\n")) {
    const [mount = "", source = ""] = line.split(" - ");
    if (mount.split(" ")[2] !== number) continue;
    const [fileSystem = "unknown", name = "unknown"] = source.split(" ");
    return { device: name, fileSystem };
  }
  return null;
}
