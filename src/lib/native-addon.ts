import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { threadId } from "node:worker_threads";
import { embeddedBytes, isBinary } from "./embedded.ts";

/** better-sqlite3's, as the binary carries it. */
export const SQLITE_ADDON = "better_sqlite3.node";

const WRITABLE_BY_OTHERS = 0o022;
const WRITABLE_BY_ALL = 0o002;
const STICKY = 0o1000;
/** Another user cannot put another addon there: only its owner lists, reads and changes the directory. */
const PRIVATE_MODE = 0o700;
/** Of the hash of an addon's bytes, in its file's name: hookds of two versions do not meet. */
const HASH_CHARACTERS = 16;

/** Loaded once by each thread: the system maps the same file for all of them. */
let loaded: unknown;

/**
 * What better-sqlite3 takes as `nativeBinding`. From the sources undefined: it finds its addon by itself. In the binary
 * the addon is a part of the file, and the system loads only files: it is written to a private directory first.
 */
export function sqliteAddon(): unknown {
  if (!isBinary) return undefined;
  loaded ??= loadFrom(cacheDirectories(process.env), SQLITE_ADDON, Buffer.from(embeddedBytes(SQLITE_ADDON)));
  return loaded;
}

/** Where it may be written, best first. The one that the operator names is the only one. */
function cacheDirectories(env: Readonly<Record<string, string | undefined>>): string[] {
  const { HOOKD_CACHE_DIR = "", XDG_CACHE_HOME = "", HOME = "" } = env;
  if (HOOKD_CACHE_DIR !== "") return [HOOKD_CACHE_DIR];
  const cache = XDG_CACHE_HOME !== "" ? XDG_CACHE_HOME : HOME !== "" ? join(HOME, ".cache") : null;
  return [...(cache === null ? [] : [cache]), tmpdir(), "/var/tmp"];
}

function loadFrom(directories: readonly string[], name: string, bytes: Buffer): unknown {
  const refusals: string[] = [];
  for (const directory of directories) {
    try {
      return load(place(directory, name, bytes));
    } catch (error) {
      refusals.push(`${directory}: ${explain(error)}`);
    }
  }
  throw new Error(
    "hookd carries SQLite inside, and found no directory to load it from. " +
      "Set HOOKD_CACHE_DIR to one that hookd may write to and that is not mounted noexec " +
      `(tried ${refusals.join("; ")})`,
  );
}

/** Writes it, unless it is there already; gives its path. */
function place(parent: string, name: string, bytes: Buffer): string {
  const uid = process.geteuid?.() ?? 0;
  const directory = join(parent, `hookd-${uid}`);
  makeDirectory(parent);
  makeDirectory(directory);
  assertPrivate(parent, directory, uid);
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, HASH_CHARACTERS);
  const path = join(directory, `${basename(name, ".node")}-${hash}.node`);
  if (holds(path, bytes)) return path;
  // Under another name first: another hookd that starts now sees all of it or nothing.
  const draft = `${path}.${process.pid}-${threadId}`;
  rmSync(draft, { force: true });
  try {
    writeFileSync(draft, bytes, { flag: "wx", mode: PRIVATE_MODE });
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
  return path;
}

function load(path: string): unknown {
  const addon = { exports: {} };
  process.dlopen(addon, path);
  return addon.exports;
}

/** Its parent must be there: a home that does not exist is not made. */
function makeDirectory(path: string): void {
  if (statSync(path, { throwIfNoEntry: false }) !== undefined) return;
  try {
    mkdirSync(path, { mode: PRIVATE_MODE });
  } catch (error) {
    // Another hookd made it at the same time.
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

/** What is loaded from there runs as hookd: nobody else may be able to put something else in its place. */
function assertPrivate(parent: string, directory: string, uid: number): void {
  const above = statSync(parent);
  if ((above.mode & WRITABLE_BY_ALL) !== 0 && (above.mode & STICKY) === 0)
    throw new Error("everybody may rename what is in it");
  const found = lstatSync(directory);
  if (!found.isDirectory()) throw new Error(`${basename(directory)} in it is no directory`);
  if (found.uid !== uid) throw new Error(`${basename(directory)} in it belongs to another user`);
  if ((found.mode & WRITABLE_BY_OTHERS) !== 0)
    throw new Error(`${basename(directory)} in it can be written by others`);
}

/** Whole and unchanged: a disk that was full, or a crash, may have left a part of it. */
function holds(path: string, bytes: Buffer): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isFile() === true && found.size === bytes.length && readFileSync(path).equals(bytes);
}

function explain(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return /failed to map segment/.test(message) ? "it is mounted noexec" : message;
}
