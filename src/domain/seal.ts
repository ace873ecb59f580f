import { createCipheriv, createDecipheriv, hash } from "node:crypto";
import type { SealedParts } from "./webhook.ts";

/**
 * Signing secrets and header values at rest: AES-256-GCM (NIST SP 800-38D), as
 *
 *   format (1 byte, 1) | key id (4 bytes) | nonce (12 bytes) | ciphertext | tag (16 bytes)
 *
 * Format and key id are authenticated too. The key id is the begin of a hash of the master key: it tells a wrong key
 * from damaged bytes, and later which of several keys to take.
 */
const FORMAT = 1;
const KEY_BYTES = 32;
const KEY_ID_BYTES = 4;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + KEY_ID_BYTES;

/** Why sealed bytes do not open. Its text never holds any of them. */
export class SealError extends Error {
  readonly why: "wrong_key" | "damaged";

  constructor(why: "wrong_key" | "damaged", message: string) {
    super(message);
    this.name = "SealError";
    this.why = why;
  }
}

/**
 * Encrypts. A nonce must never be used twice with one key: 12 fresh random bytes each time. The result is in a buffer
 * of its own: a slice of Node's pool is sent between threads with all 64 KiB of the pool, and kept with them.
 */
export function seal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array): Uint8Array {
  checkKey(key);
  if (nonce.length !== NONCE_BYTES)
    throw new TypeError(`a nonce has ${NONCE_BYTES} bytes, not ${nonce.length}`);
  const head = headOf(key);
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(head);
  const parts = [head, nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()];
  return Uint8Array.from(Buffer.concat(parts));
}

/** Decrypts what `seal` made. Throws SealError for another key, and for bytes that were changed or cut. */
export function open(key: Uint8Array, sealed: Uint8Array): Uint8Array {
  checkKey(key);
  if (sealed.length < HEAD_BYTES + NONCE_BYTES + TAG_BYTES || sealed[0] !== FORMAT) {
    throw new SealError(
      "damaged",
      "the sealed bytes are cut off, or of a format that this version does not know",
    );
  }
  const head = headOf(key);
  if (!head.equals(sealed.subarray(0, HEAD_BYTES))) {
    throw new SealError(
      "wrong_key",
      "the bytes were sealed under another master key; give the one in use then",
    );
  }
  const nonceEnd = HEAD_BYTES + NONCE_BYTES;
  const tagStart = sealed.length - TAG_BYTES;
  const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(HEAD_BYTES, nonceEnd), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(head);
  decipher.setAuthTag(sealed.subarray(tagStart));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(nonceEnd, tagStart)), decipher.final()]);
  } catch {
    throw new SealError(
      "damaged",
      "the sealed bytes do not pass their check: the store was changed or is damaged",
    );
  }
}

/** Names a master key without telling anything of it: 8 hexadecimal digits. */
export function keyIdOf(key: Uint8Array): string {
  return headOf(key).toString("hex", 1);
}

export interface Sealer {
  /** The master key's id, to be compared at start. */
  readonly keyId: string;
  seal(parts: SealedParts): Uint8Array;
  /** Throws SealError. */
  open(sealed: Uint8Array): SealedParts;
}

/** `masterKey`: 32 bytes. `randomBytes` gives that many unpredictable bytes. */
export function createSealer(masterKey: Uint8Array, randomBytes: (count: number) => Uint8Array): Sealer {
  checkKey(masterKey);
  const key = Uint8Array.from(masterKey);
  return {
    keyId: keyIdOf(key),
    seal: (parts) => seal(key, randomBytes(NONCE_BYTES), Buffer.from(JSON.stringify(parts))),
    open: (sealed) => parseParts(open(key, sealed)),
  };
}

/** What a seal protects was written by `createSealer`, so its shape is trusted; only that it is JSON is checked. */
function parseParts(plaintext: Uint8Array): SealedParts {
  try {
    return JSON.parse(Buffer.from(plaintext).toString("utf8")) as SealedParts;
  } catch {
    throw new SealError("damaged", "what was sealed is not what this version seals");
  }
}

function headOf(key: Uint8Array): Buffer {
  const id = hash("sha256", Buffer.concat([Buffer.from("hookd master key id\0"), key]), "buffer");
  return Buffer.concat([Buffer.of(FORMAT), id.subarray(0, KEY_ID_BYTES)]);
}

function checkKey(key: Uint8Array): void {
  if (key.length !== KEY_BYTES) throw new TypeError(`a master key has ${KEY_BYTES} bytes, not ${key.length}`);
}
