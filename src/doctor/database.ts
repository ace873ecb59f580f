import { statSync } from "node:fs";
import { type Peeked, peekDatabase, SCHEMA_VERSION } from "../store/sqlite/peek.ts";
import { type Check, type Installation, ok, problem, skipped } from "./check.ts";
import { processName } from "./listeners.ts";
import { roundedSize } from "./rounded-size.ts";

export const database: Check = {
  name: "database",
  about: "hookd.db is a database whose schema this hookd knows. It is read as a file, not opened.",
  run(site) {
    const { databasePath: path } = site;
    const file = statSync(path, { throwIfNoEntry: false });
    if (file === undefined) return ok("there is none yet: the first `hookd serve` makes it");
    const peeked = peek(site);
    if (peeked.kind === "forbidden") {
      return skipped(
        `this user may not read ${path}`,
        `run doctor as its owner: sudo -u '#${file.uid}' hookd doctor`,
      );
    }
    if (peeked.kind === "damaged") {
      return problem(
        `${path} cannot be read: ${peeked.why}`,
        "restore it from a backup (hookd does not overwrite it); keep the damaged file until all is well",
      );
    }
    if (peeked.facts === null) return ok(`${path} is empty: the next start makes it`);
    const { schemaVersion } = peeked.facts;
    if (schemaVersion > SCHEMA_VERSION) {
      return problem(
        `${path} was written by a newer hookd: schema ${schemaVersion}, and this one knows ${SCHEMA_VERSION}`,
        "run that version of hookd, or restore a backup from before the upgrade",
      );
    }
    const next = schemaVersion < SCHEMA_VERSION ? `; the next start brings it to ${SCHEMA_VERSION}` : "";
    const { holder } = site;
    const use = holder.kind === "process" ? `, in use by ${processName(holder.pid)}` : "";
    return ok(`schema ${schemaVersion}${next}; ${roundedSize(file.size)}${use}`);
  },
};

export type Look =
  | { readonly kind: "facts"; readonly facts: Peeked | null }
  | { readonly kind: "forbidden" }
  | { readonly kind: "damaged"; readonly why: string };

/** What the database says of itself; `facts` is null where there is none yet. */
export function peek({ databasePath }: Installation): Look {
  try {
    return { kind: "facts", facts: peekDatabase(databasePath) };
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : null;
    if (code === "ENOENT") return { kind: "facts", facts: null };
    if (code === "EACCES") return { kind: "forbidden" };
    return { kind: "damaged", why: error instanceof Error ? error.message : String(error) };
  }
}
