import { describe, onTestFinished } from "vitest";
import { jobTests } from "./conformance-jobs.ts";
import { logTests } from "./conformance-log.ts";
import { pruneTests } from "./conformance-prune.ts";
import { queueTests } from "./conformance-queue.ts";
import { tableTests } from "./conformance-tables.ts";
import { uidTests } from "./conformance-uids.ts";
import { type Adapter, World } from "./world.ts";

export type Setup = () => Promise<World>;

/** What every adapter of the store's port must do. A change to an adapter extends this suite. */
export function conformance(
  name: string,
  adapter: () => Adapter,
  options: { isFoldedEachTime?: boolean } = {},
): void {
  const setup: Setup = async () => {
    const made = adapter();
    onTestFinished(() => made.cleanup());
    return await World.open(made, options.isFoldedEachTime);
  };
  describe(`a store (${name})`, () => {
    describe("as a queue", () => queueTests(setup));
    describe("remembering uids", () => uidTests(setup));
    describe("as a log", () => logTests(setup));
    describe("pruned", () => pruneTests(setup));
    describe("running jobs", () => jobTests(setup));
    describe("keeping tables", () => tableTests(setup));
  });
}
