import { parentPort, workerData } from "node:worker_threads";
import { ArchiveFiles } from "../archive/archive-files.ts";
import { decodeEnded } from "./archive-codec.ts";
import type { ArchiveData, FromArchive } from "./messages.ts";

/** Entry of the archive's thread: packs and writes what the director is about to delete. */
if (!parentPort) throw new Error("threads/archive.ts runs as a worker thread only");
const port = parentPort;
const { directory, salt } = workerData as ArchiveData;
const files = new ArchiveFiles({ directory, salt });

port.on("message", (bytes: Uint8Array) => {
  let failure: string | null = null;
  try {
    files.append(decodeEnded(bytes));
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
  }
  port.postMessage({ failure } satisfies FromArchive);
});
