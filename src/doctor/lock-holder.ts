import { readFileSync, type Stats, statSync } from "node:fs";

/** Whether a process has a database open, as the kernel sees it. */
export type Holder =
  | { readonly kind: "none" }
  | { readonly kind: "process"; readonly pid: number }
  /** The kernel does not tell, or this user may not look at the file. */
  | { readonly kind: "unknown" };

/** Where SQLite puts its locks: behind the first gigabyte of the file. */
const SQLITE_LOCKS_AT = 1_073_741_824;

/**
 * Who holds SQLite's lock on a file, by proc_locks(5). Asking SQLite would take that lock for a moment, and
 * keep out a hookd that starts in it. A process in another container, with a volume in common, is not seen.
 */
export function holderOf(
  path: string,
  locks: () => string = () => readFileSync("/proc/locks", "utf8"),
): Holder {
  let file: Stats | undefined;
  let text: string;
  try {
    file = statSync(path, { throwIfNoEntry: false });
    text = locks();
  } catch {
    return { kind: "unknown" };
  }
  if (file === undefined) return { kind: "none" };
  for (const line of text.split("\n")) {
    const found = /\bWRITE +(\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) (\d+) /.exec(line);
    if (found === null || Number(found[4]) !== file.ino || Number(found[5]) < SQLITE_LOCKS_AT) continue;
    const device = { major: Number.parseInt(found[2] ?? "", 16), minor: Number.parseInt(found[3] ?? "", 16) };
    if (isDevice(file.dev, device)) return { kind: "process", pid: Number(found[1]) };
  }
  return { kind: "none" };
}

/**
 * Some file systems (overlay, btrfs) show files with another device than their locks: both numbers are then
 * made up.
 */
function isDevice(dev: number, { major, minor }: { major: number; minor: number }): boolean {
  // glibc's gnu_dev_major and gnu_dev_minor, for the numbers in use.
  const own = { major: (dev >> 8) & 0xfff, minor: (dev & 0xff) | ((dev >> 12) & 0xfff00) };
  return (own.major === major && own.minor === minor) || (own.major === 0 && major === 0);
}
