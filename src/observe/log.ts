import pino, { type Level, type Logger } from "pino";

export type LogLevel = Level | "silent";

/** What looks like a secret or an API key, wherever it stands in a line. */
const SECRETS = /\b(whsec_|whsk_|hk_)[A-Za-z0-9+/=_-]{8,}/g;
/** And what is secret by the name of its field. */
const SECRET_FIELDS = ["authorization", "secret", "secrets", "key", "api_key", "headers", "sealed", "hash"];

/**
 * The operator's log: one JSON object a line on standard error, written at once (a crash loses none). No pino
 * transport: a transport looks for files, and there is only one binary.
 */
export function createLog(level: LogLevel, version: string, destination: number | string = 2): Logger {
  const fields = SECRET_FIELDS.flatMap((name) => [name, `*.${name}`]);
  return pino(
    {
      level,
      base: { version },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: fields, censor: "***" },
      hooks: { streamWrite: (line) => line.replace(SECRETS, "$1***") },
    },
    pino.destination({ dest: destination, sync: true }),
  );
}
