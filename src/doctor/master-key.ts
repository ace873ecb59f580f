import { readFileSync } from "node:fs";
import { keyIdOf } from "../domain/seal.ts";
import { MASTER_KEY_ID } from "../domain/setting.ts";
import { parseMasterKey } from "../master-key.ts";
import { type Check, type Finding, type Installation, ok, problem, skipped } from "./check.ts";
import { type Look, peek } from "./database.ts";
import { mayWrite, nearestDirectory } from "./writable.ts";

export const masterKey: Check = {
  name: "master key",
  about: "The master key is there, whole, and the one that the database's secrets were sealed with.",
  run(site) {
    const look = peek(site);
    const known = look.kind === "facts" ? (look.facts?.settings.get(MASTER_KEY_ID) ?? null) : null;
    const found = readKeyId(site, known);
    if (typeof found !== "string") return found;
    if (known === null) return unknown(look, found);
    if (known === found) return ok(`the one that the database was written with (id ${known})`);
    const { masterKeyPath, holder } = site;
    const since =
      holder.kind === "process" ? "; hookd runs with the right one, and will not start again with this" : "";
    return problem(
      `${masterKeyPath} is not the key that the database was written with: id ${found}, not ${known}${since}`,
      `${whence(site)}. Without it every webhook needs a new secret: it cannot be made again`,
    );
  },
};

/** The id of the key in the file, or what is wrong with it. `known`: the id in the database. */
function readKeyId(site: Installation, known: string | null): string | Finding {
  const { masterKeyPath: path, config } = site;
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : null;
    // Of somebody else's hookd nothing can be told; of one's own it is what keeps it from starting.
    if (code === "EACCES" && !mayWrite(nearestDirectory(config.dataDir))) throw error;
    if (code !== "ENOENT") return problem(`${path} cannot be read: ${code}`, "let hookd's user read it");
    if (known === null && config.security.masterKeyFile === null)
      return ok("there is none yet: the first `hookd serve` makes it");
    const what =
      known === null ? "is not there" : "is missing, and the database's secrets cannot be read without it";
    return problem(`${path} ${what}`, whence(site));
  }
  try {
    return keyIdOf(parseMasterKey(text, path));
  } catch (error) {
    return problem(error instanceof Error ? error.message : String(error), whence(site));
  }
}

function unknown(look: Look, id: string): Finding {
  if (look.kind === "facts") return ok(`whole (id ${id}); the database has sealed nothing yet`);
  return skipped("the database, which knows the right one, cannot be read");
}

function whence({ masterKeyPath, config }: Installation): string {
  const named = config.security.masterKeyFile !== null;
  return named
    ? `put the right key there, or set security.master_key_file (it is ${masterKeyPath}) to where it is`
    : `put the right key there from where it is kept (the backup of ${masterKeyPath}), mode 600`;
}
