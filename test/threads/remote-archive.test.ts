import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { ByteWriter } from "../../src/lib/bytes.ts";
import { decodeEnded, encodeEnded } from "../../src/threads/archive-codec.ts";
import { RemoteArchive } from "../../src/threads/remote-archive.ts";
import { ended, readAll, SALT, temporaryDirectory } from "../archive/setup.ts";

function setup(): { archive: RemoteArchive; directory: string } {
  const directory = join(temporaryDirectory(), "cold");
  const archive = new RemoteArchive(directory, () => SALT);
  onTestFinished(() => archive.stop());
  return { archive, directory };
}

test("ended deliveries cross threads as they were", () => {
  const all = [
    ended({ eventUid: "order-1", payload: Buffer.from([0, 255]), contentType: "image/png" }),
    ended({ status: "dead", reason: "exhausted", error: "timeout", statusCode: null, durationMs: null }),
    ended({ status: "dead", reason: "cancelled", attemptCount: 0, payload: Buffer.alloc(0) }),
  ];
  const decoded = decodeEnded(encodeEnded(new ByteWriter(), all));
  expect(decoded.map((one) => ({ ...one, payload: Buffer.from(one.payload) }))).toEqual(all);
});

test("what append resolves for can be read from the files", async () => {
  const { archive, directory } = setup();
  await archive.append([ended(), ended()]);
  await archive.append([ended()]);
  expect(readAll(directory)).toHaveLength(3);
});

test("an append that fails says why, and the next one is tried afresh", async () => {
  const { archive, directory } = setup();
  writeFileSync(directory, "in the way");
  await expect(archive.append([ended()])).rejects.toThrow(/EEXIST|ENOTDIR/);
  rmSync(directory);
  mkdirSync(directory);
  await archive.append([ended()]);
  expect(readAll(directory)).toHaveLength(1);
});

test("a stop that comes in the middle of an append leaves no one waiting", async () => {
  const { archive } = setup();
  const append = archive.append([ended()]);
  append.catch(() => {});
  await archive.stop();
  await Promise.allSettled([append]);
});

test("after its thread ended the next append begins another one", async () => {
  const { archive, directory } = setup();
  await archive.append([ended()]);
  await archive.stop();
  await archive.append([ended()]);
  expect(readAll(directory)).toHaveLength(2);
});

test("what cannot be written into a message is refused, and the next append goes on", async () => {
  const { archive, directory } = setup();
  const unfit = { ...ended(), payload: null as unknown as Uint8Array };
  await expect(archive.append([ended(), unfit])).rejects.toThrow();
  await archive.append([ended()]);
  expect(readAll(directory)).toHaveLength(1);
});
