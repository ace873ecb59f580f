import fc from "fast-check";
import { expect, test } from "vitest";
import { setupDirector } from "./director-world.ts";
import { type FuzzRequest, type KeyName, requestsOf } from "./fuzz-requests.ts";
import type { Answer } from "./world.ts";

const REQUESTS = 3_000;
/** Made at the same time, so that one changes what another has just read. */
const AT_ONCE = 25;
/** A slow machine makes fewer; how many is printed. */
const TIME_MAX_MS = 6_000;

test("whatever is asked, no answer is a 500, and each is one that the document allows", async () => {
  const seed = Number(process.env.HOOKD_SEED ?? Math.floor(Math.random() * 0x8000_0000));
  const world = await setupDirector();
  const { call, admin, keyFor } = world;
  const keys: Record<KeyName, { text: string } | null> = {
    admin,
    acme: await keyFor("acme"),
    beta: await keyFor("beta"),
    reader: await keyFor("acme", "read"),
    publisher: await keyFor("acme", "publish"),
    made: await keyFor("acme"),
    wrong: { text: "hk_0123456789abcdefghijklmnopqrstuv" },
    none: null,
  };
  const pool = createPool();
  const seen = { good: 0, refused: 0 };
  const failures: string[] = [];

  async function make(request: FuzzRequest): Promise<void> {
    const key = keys[request.key];
    const path = pool.fill(request.path);
    const body = Buffer.isBuffer(request.body) ? request.body : filled(request.body, pool);
    try {
      const answer = await call(request.method, path, {
        ...(key === null ? {} : { key }),
        ...(body === undefined ? {} : { body }),
        headers: request.headers,
      });
      if (answer.status >= 500) throw new Error(`${answer.status} ${answer.text}`);
      seen[answer.status < 400 ? "good" : "refused"] += 1;
      pool.learn(answer);
      if (answer.json?.key !== undefined) keys.made = { text: answer.json.key };
    } catch (error) {
      const shown = JSON.stringify(body)?.slice(0, 300) ?? "no body";
      const headers = JSON.stringify(request.headers);
      failures.push(`${request.method} ${path} as ${request.key}, ${headers}, ${shown}: ${error}`);
    }
  }

  const { json: document } = await call("GET", "/v1/openapi.json");
  const requests = fc.sample(requestsOf(document), { seed, numRuns: REQUESTS });
  const endsAtMono = performance.now() + TIME_MAX_MS;
  let made = 0;
  while (made < requests.length && failures.length === 0 && performance.now() < endsAtMono) {
    await Promise.all(requests.slice(made, made + AT_ONCE).map(make));
    made += AT_ONCE;
  }
  console.log(`fuzz: HOOKD_SEED=${seed}, ${made} requests: ${seen.good} done, ${seen.refused} refused`);
  expect(failures, `HOOKD_SEED=${seed}`).toEqual([]);
  // Both kinds must come in numbers, or the test has lost its way.
  expect(seen.good).toBeGreaterThan(made / 6);
  expect(seen.refused).toBeGreaterThan(made / 10);

  // What all that left behind can still be read, and events are still taken.
  for (const list of ["webhooks", "deliveries", "dlq", "jobs", "keys"]) await readAll(list);
  const body = { event_id: "still.there", payload: 1 };
  expect((await call("POST", "/v1/events", { key: admin, body })).status).toBe(202);

  async function readAll(list: string): Promise<void> {
    for (let cursor = ""; ; ) {
      const { status, json } = await call("GET", `/v1/${list}?limit=200${cursor}`, { key: admin });
      expect(status, list).toBe(200);
      if (json.next_cursor === null) return;
      cursor = `&cursor=${json.next_cursor}`;
    }
  }
});

/** Ids and cursors that answers named, for later requests. */
function createPool() {
  const known = new Map<string, string[]>();
  function add(name: string, text: string): void {
    const texts = known.get(name) ?? [];
    known.set(name, texts);
    if (texts.length < 200 && !texts.includes(text)) texts.push(text);
  }
  return {
    /** `{{wh 3}}`, as it is or escaped for a URL, becomes a webhook's id. */
    fill(text: string): string {
      const placeholder = /(?:\{\{|%7B%7B)(\w+?)(?: |%20)(\d+)(?:\}\}|%7D%7D)/g;
      return text.replaceAll(placeholder, (_, name: string, index: string) => {
        const texts = known.get(name) ?? [];
        return texts[Number(index) % Math.max(1, texts.length)] ?? `${name}_none`;
      });
    },
    learn({ text, json }: Answer): void {
      // The document's own examples are nobody's.
      if (json?.openapi !== undefined) return;
      for (const [id, name = ""] of text.matchAll(/\b(wh|dlv|job|evt)_[0-9a-z]{26}\b/g)) add(name, id);
      // Only those that requests made: without the first ones nothing more could be asked.
      if (json?.key !== undefined) add("key", json.id);
      if (typeof json?.next_cursor === "string") add("cursor", json.next_cursor);
    },
  };
}

function filled(body: unknown, pool: ReturnType<typeof createPool>): unknown {
  if (body === undefined) return undefined;
  return typeof body === "string" ? pool.fill(body) : JSON.parse(pool.fill(JSON.stringify(body)));
}
