import { accessSync, constants, statSync } from "node:fs";
import { dirname } from "node:path";

/** The directory itself, or its nearest ancestor that is there: on whose disk it is, or will be. */
export function nearestDirectory(path: string): string {
  let nearest = path;
  while (statSync(nearest, { throwIfNoEntry: false }) === undefined && dirname(nearest) !== nearest) {
    nearest = dirname(nearest);
  }
  return nearest;
}

/** Whether this user may make files in it. */
export function mayWrite(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
