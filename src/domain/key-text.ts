import { hash } from "node:crypto";

/** `hk_` and 32 characters of base62: 190 bits. */
const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const LENGTH = 32;
const PATTERN = /^hk_[0-9A-Za-z]{20,128}$/;
/** Bytes from here up would make the first characters of the alphabet more likely: they are thrown away. */
const FAIR_BYTES = 256 - (256 % ALPHABET.length);

/** A new API key. Its text is shown once; only its hash is kept. */
export function makeKey(randomBytes: (count: number) => Uint8Array): { text: string; hash: Uint8Array } {
  let text = "hk_";
  while (text.length < 3 + LENGTH) {
    for (const byte of randomBytes(LENGTH)) {
      if (byte < FAIR_BYTES && text.length < 3 + LENGTH) text += ALPHABET[byte % ALPHABET.length];
    }
  }
  return { text, hash: hashKey(text) };
}

/** SHA-256. A slow hash would add nothing: the text is random, not chosen by a person. */
export function hashKey(text: string): Uint8Array {
  return hash("sha256", text, "buffer");
}

/** Whether a text could be a key at all, so that anything else costs no look into the store. */
export function isKeyText(text: string): boolean {
  return PATTERN.test(text);
}
