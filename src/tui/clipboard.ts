/** The escape sequence by which a terminal takes a text to its clipboard (OSC 52 of xterm), also over ssh. */
export function clipboardSequence(text: string): string {
  return `\u001b]52;c;${Buffer.from(text).toString("base64")}\u0007`;
}
