/** hookd's version, as in package.json (a test compares them). */
export const VERSION = "0.1.0";

/** What `npm run build` was given to build; each is null where it was not told, as when hookd runs from its sources. */
export interface Build {
  /** The commit of the sources, with `+` behind it when they had been changed since. */
  readonly commit: string | null;
  /** RFC 3339, UTC. */
  readonly builtAt: string | null;
  /** Of the SQLite inside. */
  readonly sqlite: string | null;
}

/** The build puts the value in its place (scripts/build/bundles.ts). */
declare const HOOKD_BUILD: Build;

export const BUILD: Build =
  typeof HOOKD_BUILD === "undefined" ? { commit: null, builtAt: null, sqlite: null } : HOOKD_BUILD;
