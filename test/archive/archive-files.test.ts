import { appendFileSync, mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { ArchiveFiles } from "../../src/archive/archive-files.ts";
import { parseId } from "../../src/domain/ids.ts";
import { ended, faultyFiles, filesIn, NOON, readAll, readLines, SALT, temporaryDirectory } from "./setup.ts";

const HOUR = 3_600_000;

function setup(options: { files?: ReturnType<typeof faultyFiles> } = {}) {
  const directory = join(temporaryDirectory(), "cold");
  return { directory, open: () => new ArchiveFiles({ directory, salt: SALT, ...options }) };
}

test("a line has the API's names, ids and times, and the payload as it was published", () => {
  const { directory, open } = setup();
  const payload = Buffer.from('{"price": 1.0, "big": 12345678901234567890}');
  const one = ended({ payload, eventUid: "order-17" });
  open().append([one]);
  const [line] = readAll(directory);
  expect(line).toEqual({
    id: expect.stringMatching(/^dlv_/),
    event_uid: "order-17",
    event_id: "order.paid",
    user_id: "acme",
    webhook_id: expect.stringMatching(/^wh_/),
    status: "success",
    reason: null,
    attempt_count: 1,
    response_code: 200,
    error: null,
    duration_ms: 12,
    created_at: "2026-11-22T12:00:00.000Z",
    completed_at: "2026-11-22T12:00:00.020Z",
    content_type: "application/json",
    payload_encoding: "json",
    payload: JSON.parse(payload.toString()),
  });
  expect(parseId("dlv", String(line?.id), SALT)).toBe(one.id);
});

test("an event that hookd named is named so", () => {
  const { directory, open } = setup();
  const one = ended();
  open().append([one]);
  expect(parseId("evt", String(readAll(directory)[0]?.event_uid), SALT)).toBe(one.event);
});

test.each([
  ["JSON over several lines", "application/json", '{\r\n "a": "b\\n"\n}', "json", { a: "b\n" }],
  ["another type of JSON", "application/cloudevents+json; charset=utf-8", "[1]", "json", [1]],
  ["what only says that it is JSON", "application/json", "{no}", "base64", "e25vfQ=="],
  ["JSON that is not UTF-8", "application/json", Buffer.from([0x22, 0xff, 0x22]), "base64", "Iv8i"],
  ["text", "text/plain", "a", "base64", "YQ=="],
  ["nothing", "application/json", "", "base64", ""],
])("%s is one line", (_, contentType, payload, encoding, shown) => {
  const { directory, open } = setup();
  open().append([ended({ contentType, payload: Buffer.from(payload) })]);
  expect(readAll(directory)).toMatchObject([
    { content_type: contentType, payload_encoding: encoding, payload: shown },
  ]);
});

test("a dead delivery says why, and a broadcast's delivery stands in its event's hour", () => {
  const { directory, open } = setup();
  const { event } = ended();
  open().append([
    {
      ...ended({}, NOON + HOUR),
      event,
      status: "dead",
      reason: "exhausted",
      error: "timeout",
      statusCode: null,
    },
  ]);
  const [file] = filesIn(directory);
  expect(file).toBe("2026-11-22/12.ndjson.gz");
  expect(readAll(directory)).toMatchObject([
    { status: "dead", reason: "exhausted", error: "timeout", response_code: null },
  ]);
});

test("each hour has a file, on either side of midnight too", () => {
  const { directory, open } = setup();
  const midnight = Date.UTC(2026, 10, 23);
  open().append([midnight - 1, midnight, midnight + HOUR - 1, midnight + HOUR].map((at) => ended({}, at)));
  expect(filesIn(directory)).toEqual([
    "2026-11-22/23.ndjson.gz",
    "2026-11-23/00.ndjson.gz",
    "2026-11-23/01.ndjson.gz",
  ]);
  expect(readLines(join(directory, "2026-11-23/00.ndjson.gz"))).toHaveLength(2);
});

test("appends join, within one process and after a restart", () => {
  const { directory, open } = setup();
  const all = Array.from({ length: 6 }, () => ended());
  const first = open();
  first.append(all.slice(0, 2));
  first.append(all.slice(2, 3));
  const second = open();
  second.append(all.slice(3, 5));
  second.append(all.slice(5));
  expect(readAll(directory).map(({ id }) => parseId("dlv", id, SALT))).toEqual(all.map(({ id }) => id));
});

test("a batch of more than a member holds is read back whole", () => {
  const { directory, open } = setup();
  const payload = Buffer.from(JSON.stringify("x".repeat(1_500_000)));
  open().append(Array.from({ length: 7 }, () => ended({ payload })));
  open().append([ended()]);
  expect(readAll(directory)).toHaveLength(8);
});

test("what a crash left of the last member is cut off before the next append, wherever it was cut", () => {
  const { directory, open } = setup();
  const file = join(directory, "2026-11-22/12.ndjson.gz");
  open().append([ended(), ended()]);
  const whole = readFileSync(file);
  open().append([ended({ eventId: "a.longer.name.than.any.other" })]);
  const longer = readFileSync(file);
  for (let length = whole.length + 1; length <= longer.length; length += 1) {
    writeFileSync(file, longer.subarray(0, length));
    open().append([ended()]);
    expect(readLines(file)).toHaveLength(length === longer.length ? 4 : 3);
  }
});

test("a member whose bytes never reached the disk is cut off, though the file has its length", () => {
  const { directory, open } = setup();
  const file = join(directory, "2026-11-22/12.ndjson.gz");
  open().append([ended()]);
  const { size } = statSync(file);
  open().append([ended()]);
  const bytes = readFileSync(file);
  for (const from of [size, size + 30]) {
    writeFileSync(file, Buffer.concat([bytes.subarray(0, from), Buffer.alloc(bytes.length - from)]));
    open().append([ended()]);
    expect(readLines(file)).toHaveLength(2);
  }
});

test("a file that is damaged otherwise, or not hookd's, is left alone, and another one takes its place", () => {
  const { directory, open } = setup();
  const file = join(directory, "2026-11-22/12.ndjson.gz");
  mkdirSync(join(directory, "2026-11-22"), { recursive: true });
  writeFileSync(file, gzipSync("somebody's notes\n"));
  const notes = readFileSync(file);
  open().append([ended()]);
  open().append([ended()]);
  expect(readFileSync(file).equals(notes)).toBe(true);
  const second = join(directory, "2026-11-22/12.2.ndjson.gz");
  expect(readLines(second)).toHaveLength(2);
  const damaged = readFileSync(second);
  damaged[3] = 0;
  writeFileSync(second, damaged);
  open().append([ended()]);
  expect(readFileSync(second).equals(damaged)).toBe(true);
  expect(readLines(join(directory, "2026-11-22/12.3.ndjson.gz"))).toHaveLength(1);
});

test("a file that an operator moved away or cut while hookd runs is begun anew, or gone on with", () => {
  const { directory, open } = setup();
  const file = join(directory, "2026-11-22/12.ndjson.gz");
  const files = open();
  files.append([ended()]);
  const { size } = statSync(file);
  files.append([ended()]);
  truncateSync(file, size);
  files.append([ended()]);
  expect(readLines(file)).toHaveLength(2);
  truncateSync(file, 0);
  files.append([ended()]);
  expect(readLines(file)).toHaveLength(1);
  appendFileSync(file, Buffer.alloc(100));
  files.append([ended()]);
  expect(readLines(file)).toHaveLength(2);
});

test("nobody else may read the files, nor the directories", () => {
  const { directory, open } = setup();
  open().append([ended()]);
  expect(statSync(join(directory, "2026-11-22/12.ndjson.gz")).mode & 0o777).toBe(0o600);
  expect(statSync(join(directory, "2026-11-22")).mode & 0o777).toBe(0o700);
  expect(statSync(directory).mode & 0o777).toBe(0o700);
});

test("on a full disk an append throws, and the next one with room leaves no gap", () => {
  let isFull = false;
  const files = faultyFiles(
    (call) => {
      if (isFull && call === "writeSync") throw new Error("ENOSPC: no space left on device");
    },
    (bytes) => Math.floor(bytes / 2),
  );
  const { directory, open } = setup({ files });
  const archive = open();
  archive.append([ended()]);
  isFull = true;
  for (let tries = 0; tries < 3; tries += 1) expect(() => archive.append([ended()])).toThrow("ENOSPC");
  isFull = false;
  archive.append([ended()]);
  expect(readAll(directory)).toHaveLength(2);
});

test("what a failing sync may not have written is written again in the same place", () => {
  let isFailing = false;
  const files = faultyFiles((call) => {
    if (isFailing && call === "fsyncSync") throw new Error("EIO");
  });
  const { directory, open } = setup({ files });
  const archive = open();
  archive.append([ended()]);
  isFailing = true;
  const lost = ended();
  expect(() => archive.append([lost])).toThrow("EIO");
  isFailing = false;
  archive.append([lost]);
  expect(readAll(directory)).toHaveLength(2);
});

test("every member is synced before append returns, and so are the names of a new file and its directories", () => {
  const calls: string[] = [];
  const { directory, open } = setup({ files: faultyFiles((call) => void calls.push(call)) });
  const archive = open();
  archive.append([ended()]);
  expect(calls.filter((call) => call === "fsyncSync")).toHaveLength(4);
  expect(calls.lastIndexOf("fsyncSync")).toBeGreaterThan(calls.lastIndexOf("writeSync"));
  calls.length = 0;
  archive.append([ended()]);
  expect(calls.filter((call) => call === "fsyncSync")).toHaveLength(1);
  expect(readAll(directory)).toHaveLength(2);
});

test("a file whose name could not be made durable is closed, and its name is tried again", () => {
  let isBroken = true;
  const open = new Map<string, number>();
  const count = (name: string) => open.set(name, (open.get(name) ?? 0) + 1);
  let syncs = 0;
  const files = faultyFiles((call) => {
    if (call === "openSync" || call === "closeSync") count(call);
    if (call !== "fsyncSync") return;
    syncs += 1;
    if (isBroken) throw Object.assign(new Error("EIO"), { code: "EIO" });
  });
  const { directory, open: make } = setup({ files });
  const archive = make();
  expect(() => archive.append([ended()])).toThrow("EIO");
  expect(open.get("closeSync")).toBe(open.get("openSync"));
  isBroken = false;
  syncs = 0;
  archive.append([ended()]);
  // Three directories, and the member.
  expect(syncs).toBe(4);
  archive.append([ended()]);
  expect(syncs).toBe(5);
  expect(readAll(directory)).toHaveLength(2);
  // Another process cannot know whether the one before came so far.
  make().append([ended()]);
  expect(syncs).toBe(9);
});
