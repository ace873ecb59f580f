const ZERO = 0x30;

/** Writes a whole number with leading zeros, over exactly `width` bytes. */
export function writeDigits(buffer: Uint8Array, at: number, width: number, value: number): void {
  let rest = value;
  for (let index = at + width - 1; index >= at; index -= 1) {
    const next = Math.floor(rest / 10);
    buffer[index] = ZERO + (rest - next * 10);
    rest = next;
  }
}

/** Reads `width` digits; -1 where one of them is none. */
export function readDigits(buffer: Uint8Array, at: number, width: number): number {
  let value = 0;
  for (let index = at; index < at + width; index += 1) {
    const digit = (buffer[index] ?? 0) - ZERO;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

/** Reads digits up to the first byte that is none; -1 where there is not one. */
export function readNumber(buffer: Uint8Array, at: number): number {
  let value = 0;
  let index = at;
  for (; index < buffer.length; index += 1) {
    const digit = (buffer[index] ?? 0) - ZERO;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
  }
  return index === at ? -1 : value;
}
