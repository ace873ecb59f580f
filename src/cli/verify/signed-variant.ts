import type { SigningKey } from "../../domain/sign.ts";

/** Larger bodies are not written anew: it would take seconds, and hookd sends no more by default. */
const REWRITTEN_BYTES_MAX = 1024 * 1024;

type Variant = readonly [body: Buffer, what: string, fix: string];

/**
 * What was done to the body since it was signed, where it is one of the usual things: what an editor, a shell or a
 * framework does to it. Null where none of them makes the signature right.
 */
export function signedVariantOf(
  body: Uint8Array,
  keys: readonly SigningKey[],
  isSigned: (key: SigningKey, body: Uint8Array) => boolean,
): readonly [what: string, fix: string] | null {
  for (const [variant, what, fix] of variantsOf(Buffer.from(body))) {
    if (keys.some((key) => isSigned(key, variant)))
      return [`the secret is right, but the body was changed: ${what}`, fix];
  }
  return null;
}

function* variantsOf(body: Buffer): Generator<Variant> {
  const text = body.toString("latin1");
  const raw = "Keep the body as bytes: printf '%s' in place of echo, or save it from the receiver.";
  if (text.endsWith("\r\n")) yield [body.subarray(0, -2), "a line end (CRLF) was added at its end", raw];
  if (text.endsWith("\n")) yield [body.subarray(0, -1), "a newline was added at its end", raw];
  else yield [Buffer.concat([body, Buffer.from("\n")]), "the newline at its end was lost", raw];
  const lines = "Copy it in binary mode: something rewrote the ends of its lines.";
  if (text.includes("\r\n")) {
    yield [
      Buffer.from(text.replaceAll("\r\n", "\n"), "latin1"),
      "its lines now end with CRLF instead of LF",
      lines,
    ];
  } else if (text.includes("\n")) {
    yield [
      Buffer.from(text.replaceAll("\n", "\r\n"), "latin1"),
      "its lines now end with LF instead of CRLF",
      lines,
    ];
  }
  if (text.startsWith("\u00ef\u00bb\u00bf")) {
    yield [body.subarray(3), "a byte order mark was put in front", "Save it without a byte order mark."];
  }
  yield [Buffer.alloc(0), "it was empty when it was signed", "This body belongs to another request."];
  if (body.length > REWRITTEN_BYTES_MAX) return;
  const value = parsed(body);
  if (value === undefined) return;
  const anew = "Verify the raw body, before it is parsed: what a JSON library writes is not what was sent.";
  for (const [space, how] of [
    [undefined, "it was JSON without white space"],
    [2, "it was JSON indented by two"],
    [4, "it was JSON indented by four"],
  ] as const) {
    yield [Buffer.from(JSON.stringify(value, null, space)), `${how}, and was written anew`, anew];
  }
  const spaced = JSON.stringify(value, null, 1)
    .replaceAll(/\n */g, " ")
    .replaceAll(/([[{]) | ([\]}])/g, "$1$2");
  yield [Buffer.from(spaced), "it was JSON with a space after , and :, and was written anew", anew];
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    return undefined;
  }
}
