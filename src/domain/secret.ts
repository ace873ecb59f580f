/** A signing key as bytes: long enough not to be guessed, no longer than SHA-256's block. */
export const SECRET_BYTES_MIN = 24;
export const SECRET_BYTES_MAX = 64;

const PREFIX = "whsec_";
/** Base64 of 64 bytes is 88 characters: what is longer is refused unread. */
const TEXT_MAX = PREFIX.length + 88;

/**
 * The key bytes of `whsec_` + base64 (Standard Webhooks), or null. The base64 must be canonical (padded,
 * standard alphabet, no loose bits): `x-signature` is keyed with the text, so one key must have one text.
 */
export function parseSecret(text: string): Uint8Array | null {
  if (text.length > TEXT_MAX || !text.startsWith(PREFIX)) return null;
  const base64 = text.slice(PREFIX.length);
  const bytes = Buffer.from(base64, "base64");
  if (bytes.length < SECRET_BYTES_MIN || bytes.length > SECRET_BYTES_MAX) return null;
  if (bytes.toString("base64") !== base64) return null;
  // A copy: the buffer is a view of Node's pool, which other data shares.
  return new Uint8Array(bytes);
}

/** The text of a key of 24-64 bytes. Another length is a bug of the caller and throws. */
export function formatSecret(bytes: Uint8Array): string {
  if (bytes.length < SECRET_BYTES_MIN || bytes.length > SECRET_BYTES_MAX) {
    throw new Error(`a signing key has ${SECRET_BYTES_MIN}-${SECRET_BYTES_MAX} bytes, not ${bytes.length}`);
  }
  return PREFIX + Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}
