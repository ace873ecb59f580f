import { safeJson } from "../lib/safe-text.ts";

/**
 * The request as a command line for a POSIX shell. The key stays out of it: it would end up in a shell's history or in
 * a ticket.
 */
export function curlOf(
  method: string,
  url: URL,
  headers: Readonly<Record<string, string>>,
  body: unknown,
): string {
  const words = ["curl", "-sS"];
  if (method !== "GET") words.push("-X", method);
  words.push(quote(url.href), "-H", '"Authorization: Bearer $HOOKD_API_KEY"');
  for (const [name, value] of Object.entries(headers)) words.push("-H", quote(`${name}: ${value}`));
  if (!(body instanceof Uint8Array)) {
    if (body !== undefined) words.push("--data-raw", quote(safeJson(JSON.stringify(body))));
    return words.join(" ");
  }
  const text = new TextDecoder().decode(body);
  // Bytes that are a line of text stay readable.
  if (/^[^\p{C}\p{Zl}\p{Zp}\ufffd]*$/u.test(text)) return [...words, "--data-raw", quote(text)].join(" ");
  const octal = Array.from(body, (byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
  return `printf '${octal}' | ${[...words, "--data-binary", "@-"].join(" ")}`;
}

function quote(text: string): string {
  return /^[A-Za-z0-9_./:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
