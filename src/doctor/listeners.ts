import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename } from "node:path";

/** A socket that takes connections. */
export interface Listener {
  /** IPv4 or IPv6, as text. */
  readonly host: string;
  readonly port: number;
  readonly inode: number;
}

const LISTENING = "0A";

/** All of this machine (proc_net_tcp(5)); none where the kernel does not tell. */
export function listeners(): Listener[] {
  return ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((path) => parse(readOr(path, "")));
}

/** Those of one process; null where this user may not look at it. */
export function listenersOf(pid: number): Listener[] | null {
  const inodes = socketInodes(pid);
  return inodes === null ? null : listeners().filter(({ inode }) => inodes.has(inode));
}

/** The process that has one of the sockets open; null where this user may not look at it. */
export function ownerOf(sockets: readonly Listener[]): number | null {
  for (const name of readdirSync("/proc")) {
    const pid = /^\d+$/.test(name) ? Number(name) : 0;
    const inodes = pid === 0 ? null : socketInodes(pid);
    if (inodes !== null && sockets.some(({ inode }) => inodes.has(inode))) return pid;
  }
  return null;
}

/** `nginx (process 12)`. */
export function processName(pid: number): string {
  const [program = ""] = readOr(`/proc/${pid}/cmdline`, "").split("\0");
  return program === "" ? `process ${pid}` : `${basename(program)} (process ${pid})`;
}

function parse(text: string): Listener[] {
  const found: Listener[] = [];
  for (const line of text.split("\n").slice(1)) {
    const [, local = "", , state, , , , , , inode] = line.trim().split(/\s+/);
    const [address = "", port = ""] = local.split(":");
    if (state !== LISTENING) continue;
    found.push({ host: hostOf(address), port: Number.parseInt(port, 16), inode: Number(inode) });
  }
  return found;
}

/** The kernel prints 32-bit words, each in the machine's byte order: little-endian wherever hookd runs. */
function hostOf(hex: string): string {
  const bytes = Buffer.from(hex, "hex");
  bytes.swap32();
  if (bytes.length === 4) return bytes.join(".");
  const words = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16));
  return new URL(`http://[${words.join(":")}]`).hostname.slice(1, -1);
}

function socketInodes(pid: number): Set<number> | null {
  const directory = `/proc/${pid}/fd`;
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return null;
  }
  const inodes = new Set<number>();
  for (const name of names) {
    const found = /^socket:\[(\d+)\]$/.exec(linkOr(`${directory}/${name}`));
    if (found !== null) inodes.add(Number(found[1]));
  }
  return inodes;
}

/** A file may be closed, and a process gone, between the listing and the look. */
function linkOr(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return otherwise;
  }
}
