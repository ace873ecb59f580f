/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * React looks at NODE_ENV when it is loaded: its build for development costs twice the time and records every render.
 */
export function preferProduction(): void {
  process.env.NODE_ENV ??= "production";
}

/** The process's own: the only place that reads them; everything else is handed what it needs. */
export function processEnvironment(): Environment {
  return process.env;
}
