/**
 * The suffix of a TypeID (typeid spec 0.3): 128 bits as 26 characters of Crockford's base32 in lower case, the two
 * missing bits in front as zeros, so that the text sorts as the bytes do.
 */
const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const VALUE_OF = new Map([...ALPHABET].map((character, value) => [character, value]));
const LENGTH = 26;

/** 16 bytes to 26 characters. */
export function crockfordEncode(bytes: Uint8Array): string {
  let text = "";
  let buffer = 0;
  let bits = 2;
  for (const byte of bytes) {
    buffer = (buffer << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += ALPHABET[(buffer >>> bits) & 31];
    }
    buffer &= (1 << bits) - 1;
  }
  return text;
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
