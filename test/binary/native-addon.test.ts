import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { barePlace, builtBinary, type Place, serving, start, unknownUser } from "../support/binary.ts";
import { temporaryDirectory } from "../support/world.ts";

const SERVE = ["serve", "--dev", "--listen", "127.0.0.1:0"];
const uid = unknownUser()?.uid ?? process.getuid?.();

// The first of them builds the binary.
describe("the binary's native addon", { timeout: 180_000 }, () => {
  it("is written to HOOKD_CACHE_DIR for its own user only, and used again", async () => {
    const place = await barePlace();
    const directory = join(place.directory, "cache");
    await serveOnce(place, directory);
    const own = join(directory, `hookd-${uid}`);
    const [name = ""] = readdirSync(own);
    expect(readdirSync(own)).toEqual([expect.stringMatching(/^better_sqlite3-[0-9a-f]{16}\.node$/)]);
    expect(statSync(own).mode & 0o777).toBe(0o700);
    const before = statSync(join(own, name));
    await serveOnce(place, directory);
    expect(statSync(join(own, name)).ino).toBe(before.ino);
  });

  it("is written anew where a part of it is missing", async () => {
    const place = await barePlace();
    const directory = join(place.directory, "cache");
    await serveOnce(place, directory);
    const [name = ""] = readdirSync(join(directory, `hookd-${uid}`));
    const path = join(directory, `hookd-${uid}`, name);
    const whole = readFileSync(path);
    writeFileSync(path, whole.subarray(0, 100_000));
    await serveOnce(place, directory);
    expect(readFileSync(path).equals(whole)).toBe(true);
  });

  it.each<[string, (directory: string) => void]>([
    ["can be written by others", (directory) => own(directory, 0o777)],
    ["everybody may rename", (directory) => chmodSync(dirname(directory), 0o777)],
    [
      "is no directory",
      (directory) => {
        own(`${directory}-elsewhere`, 0o700);
        symlinkSync(`${directory}-elsewhere`, directory);
      },
    ],
  ])("is not loaded from a directory that %s", async (why, prepare) => {
    const place = await barePlace();
    const directory = join(place.directory, "cache");
    own(directory, 0o700);
    prepare(join(directory, `hookd-${uid}`));
    const { code, stderr } = await place.run(SERVE, { HOOKD_CACHE_DIR: directory }).ended;
    expect(code).toBe(1);
    expect(stderr).toContain(why);
    expect(stderr).toContain("Set HOOKD_CACHE_DIR");
  });

  it("says that the directory is mounted noexec, and to set HOOKD_CACHE_DIR", async () => {
    const cwd = temporaryDirectory();
    const script = 'mount -t tmpfs -o noexec tmpfs cache && exec "$0" "$@"';
    mkdirSync(join(cwd, "cache"));
    // A mount that only this process sees, and that ends with it.
    const args = ["--map-root-user", "--mount", "sh", "-c", script, await builtBinary(), ...SERVE];
    const env = { PATH: process.env.PATH ?? "", HOOKD_CACHE_DIR: join(cwd, "cache") };
    const { code, stderr } = await start("unshare", args, { cwd, env }).ended;
    expect({ code, stderr }).toMatchObject({ code: 1 });
    expect(stderr).toContain(`${join(cwd, "cache")}: it is mounted noexec`);
    expect(stderr).toContain("Set HOOKD_CACHE_DIR");
  });
});

/** Starts hookd, waits until it has opened its database, ends it. */
async function serveOnce(place: Place, cacheDir: string): Promise<void> {
  const daemon = place.run(SERVE, { HOOKD_CACHE_DIR: cacheDir });
  await serving(daemon);
  daemon.process.kill("SIGTERM");
  expect(await daemon.ended).toMatchObject({ code: 0 });
}

function own(directory: string, mode: number): void {
  mkdirSync(directory);
  chmodSync(directory, mode);
  const user = unknownUser();
  if (user !== null) chownSync(directory, user.uid, user.gid);
}
