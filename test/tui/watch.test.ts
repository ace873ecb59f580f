import { expect, test } from "vitest";
import type { Api, WatchQuery } from "../../src/tui/api.ts";
import { type Watched, watchAttempts } from "../../src/tui/watch.ts";

const text = new TextEncoder();

class Passing extends Error {
  readonly isPassing = true;
}

/** A stream whose connections a test scripts: chunks that end, an error, or nothing more until it is given up. */
function setup(connections: readonly (readonly (string | Uint8Array)[] | Error | "silent")[]) {
  const stopping = new AbortController();
  let opened = 0;
  const api: Pick<Api, "openStream"> = {
    async openStream(_query: WatchQuery, signal) {
      const connection = connections[opened];
      opened += 1;
      if (connection === undefined) stopping.abort();
      signal.throwIfAborted();
      if (connection instanceof Error) throw connection;
      return (async function* () {
        if (connection === "silent") {
          await new Promise((_, reject) =>
            signal.addEventListener("abort", () => reject(new Error("given up"))),
          );
        } else
          for (const chunk of connection ?? []) yield typeof chunk === "string" ? text.encode(chunk) : chunk;
      })();
    },
  };
  const options = { query: {}, signal: stopping.signal, random: () => 1, waitMsMin: 1 };
  return {
    async watched(more: object = {}): Promise<Watched[]> {
      const seen: Watched[] = [];
      for await (const one of watchAttempts(api, { ...options, ...more })) seen.push(one);
      return seen;
    },
  };
}

const kinds = (seen: readonly Watched[]) => seen.map(({ kind }) => kind);

test("events come however the bytes are cut, heartbeats and unknown ones are passed over", async () => {
  const stream =
    ': hookd\n\nevent: attempt\ndata: {"name":"é"}\n\n: \n\nevent: new\ndata: 1\n\n' +
    'event: skipped\ndata: {"count":3}\n\nevent: counts\ndata: {"attempts":4,"success":4,"retrying":0,"dead":0}\n\n';
  const bytes = Buffer.from(stream);
  for (const size of [1, 7, bytes.length]) {
    const count = Math.ceil(bytes.length / size);
    const chunks = Array.from({ length: count }, (_, at) => bytes.subarray(at * size, (at + 1) * size));
    expect((await setup([chunks]).watched()).slice(0, 4)).toEqual([
      { kind: "open" },
      { kind: "attempt", json: '{"name":"é"}' },
      { kind: "skipped", count: 3 },
      { kind: "counts", counts: { attempts: 4, success: 4, retrying: 0, dead: 0 } },
    ]);
  }
});

test("a connection that ends is opened again, after waits that grow until one holds", async () => {
  const { watched } = setup([[": \n\n"], new Passing("refused"), new Passing("refused"), [": \n\n"]]);
  const seen = await watched();
  expect(kinds(seen)).toEqual(["open", "lost", "lost", "lost", "open", "lost"]);
  const waits = seen.flatMap((one) => (one.kind === "lost" ? [[one.why, one.waitMs]] : []));
  expect(waits).toEqual([
    ["hookd closed the stream", 1],
    ["refused", 2],
    ["refused", 4],
    ["hookd closed the stream", 1],
  ]);
});

test("a connection without a sign of life is given up and opened again", async () => {
  const seen = await setup(["silent"]).watched({ silenceMsMax: 5 });
  expect(kinds(seen)).toEqual(["open", "lost"]);
});

test("a first connection that fails ends it, and so does a refusal that waiting does not cure", async () => {
  await expect(setup([new Passing("nothing listens")]).watched()).rejects.toThrow("nothing listens");
  await expect(setup([[": \n\n"], new Error("401")]).watched()).rejects.toThrow("401");
});
