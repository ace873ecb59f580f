/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The process's own: the only place that reads them; everything else is handed what it needs. */
export function processEnvironment(): Environment {
  return process.env;
}
