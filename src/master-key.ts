import { randomBytes } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { Config } from "./config/config.ts";

const KEY_BYTES = 32;
const READABLE_BY_OTHERS = 0o077;

/**
 * The key that seals signing secrets: 32 bytes as base64 in a file that only hookd's user may read. Made on the first
 * start in the data directory; never where the operator names a file (it has to be there).
 */
export function loadMasterKey(config: Config): Uint8Array {
  const named = config.security.masterKeyFile;
  const path = named ?? join(config.dataDir, "master.key");
  if (named === null && !statSync(path, { throwIfNoEntry: false })) {
    if (statSync(join(config.dataDir, "hookd.db"), { throwIfNoEntry: false })) {
      throw new Error(
        `${path} is missing, and the database's secrets cannot be read without it: put it back`,
      );
    }
    writePrivate(path, `${randomBytes(KEY_BYTES).toString("base64")}\n`);
  }
  return readKey(path);
}

/**
 * Writes a new file that only this user may read, durable before it returns. Whole or not at all: a key file that a
 * crash left empty would keep hookd from ever starting again.
 */
export function writePrivate(path: string, text: string): void {
  const draft = `${path}.${randomBytes(4).toString("hex")}`;
  const file = openSync(draft, "wx", 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  // Not renamed: that would replace a file which another hookd made meanwhile.
  linkSync(draft, path);
  unlinkSync(draft);
  syncDirectory(dirname(path));
}

/** Makes the names in it durable. */
export function syncDirectory(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

/** The key in a file of which others see nothing. */
export function readKey(path: string): Uint8Array {
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new Error(`the master key file ${path} cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
  if (statSync(path).mode & READABLE_BY_OTHERS) {
    throw new Error(`the master key file ${path} is readable by others: run chmod 600 ${path}`);
  }
  return parseMasterKey(text, path);
}

/** The key in the text of its file, without white space round it. The error does not show it. */
export function parseMasterKey(text: string, path: string): Uint8Array {
  const key = Buffer.from(text, "base64");
  if (key.length !== KEY_BYTES || key.toString("base64") !== text) {
    throw new Error(
      `the master key file ${path} does not hold ${KEY_BYTES} bytes as base64: restore it from a backup`,
    );
  }
  return key;
}
