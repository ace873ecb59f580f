/**
 * The suffix of a TypeID (typeid spec 0.3): 128 bits as 26 characters of Crockford's base32 in lower case, the two
 * missing bits in front as zeros, so that the text sorts as the bytes do.
 */
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const CODES = Uint8Array.from(ALPHABET, (character) => character.charCodeAt(0));
const VALUE_OF = new Map([...ALPHABET].map((character, value) => [character, value]));
const LENGTH = 26;

/** 16 bytes to 26 characters. Made in one go: added one by one they are 26 strings, several for each event. */
export function crockfordEncode(bytes: Uint8Array): string {
  const a = wordAt(bytes, 0);
  const b = wordAt(bytes, 4);
  const c = wordAt(bytes, 8);
  const d = wordAt(bytes, 12);
  return String.fromCharCode(
    codeOf(a >>> 29),
    codeOf(a >>> 24),
    codeOf(a >>> 19),
    codeOf(a >>> 14),
    codeOf(a >>> 9),
    codeOf(a >>> 4),
    codeOf((a << 1) | (b >>> 31)),
    codeOf(b >>> 26),
    codeOf(b >>> 21),
    codeOf(b >>> 16),
    codeOf(b >>> 11),
    codeOf(b >>> 6),
    codeOf(b >>> 1),
    codeOf((b << 4) | (c >>> 28)),
    codeOf(c >>> 23),
    codeOf(c >>> 18),
    codeOf(c >>> 13),
    codeOf(c >>> 8),
    codeOf(c >>> 3),
    codeOf((c << 2) | (d >>> 30)),
    codeOf(d >>> 25),
    codeOf(d >>> 20),
    codeOf(d >>> 15),
    codeOf(d >>> 10),
    codeOf(d >>> 5),
    codeOf(d),
  );
}

/** Of the character for the last five bits. */
function codeOf(bits: number): number {
  return CODES[bits & 31] as number;
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}

/** 26 characters to 16 bytes; null for another length, another alphabet, or more than 128 bits. */
export function crockfordDecode(text: string): Uint8Array | null {
  if (text.length !== LENGTH || (VALUE_OF.get(text[0] ?? "") ?? 99) > 7) return null;
  const bytes = new Uint8Array(16);
  let buffer = 0;
  let bits = -2;
  let at = 0;
  for (const character of text) {
    const value = VALUE_OF.get(character);
    if (value === undefined) return null;
    buffer = (buffer << 5) | value;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes[at] = buffer >>> bits;
      at += 1;
      buffer &= (1 << bits) - 1;
    }
  }
  return bytes;
}
