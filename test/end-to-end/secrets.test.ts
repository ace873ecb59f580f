import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startDaemon } from "../support/daemon.ts";
import { startReceiver } from "../support/receiver.ts";
import { until } from "../support/world.ts";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ROTATED = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const HEADER = "Basic-dXNlcjpwYXNzd29yZA-very-private";

test("no secret of a full run is found in log, database, metrics or errors", async () => {
  const [daemon, receiver] = await Promise.all([
    startDaemon({ env: { HOOKD_LOG_LEVEL: "trace", HOOKD_LOG_SAMPLE_SUCCESS: "1" } }),
    startReceiver(),
  ]);
  const answers: string[] = [];
  const call: typeof daemon.call = async (...args) => {
    const answer = await daemon.call(...args);
    answers.push(answer.text);
    return answer;
  };
  const created = await daemon.call("POST", "/v1/webhooks", {
    event_id: "order.paid",
    callback_url: receiver.url,
    secret: SECRET,
    headers: { "x-auth": HEADER },
    retry: { schedule: ["50ms"] },
  });
  const made = await daemon.call("POST", "/v1/keys", { user_id: "acme", scopes: ["read"] });
  await call("GET", `/v1/webhooks/${created.json.id}`);
  await call("POST", "/v1/webhooks", { event_id: "order.paid", callback_url: receiver.url, secret: SECRET });
  await call("POST", "/v1/webhooks", { event_id: "other", callback_url: "ftp://x", secret: SECRET });
  await call("POST", "/v1/webhooks", { event_id: "other", callback_url: receiver.url, secret: `${SECRET}!` });
  await call("PATCH", `/v1/webhooks/${created.json.id}`, { headers: { "x-auth": `${HEADER}\n` } });
  await daemon.call("POST", `/v1/webhooks/${created.json.id}/rotate-secret`, { secret: ROTATED });
  receiver.answer = (_request, count) => ({ status: count === 1 ? 500 : 200, body: "thanks" });
  await call("POST", "/v1/events", { event_id: "order.paid", payload: { n: 1 } });
  await receiver.waitFor(2);
  await call("GET", "/v1/webhooks/nonsense", undefined, { authorization: `Bearer ${made.json.key}x` });
  await until("the delivery is in the log", async () => {
    const { json } = await call("GET", "/v1/deliveries");
    return json.data[0]?.status === "success";
  });
  await call("GET", "/metrics");
  await daemon.stop();

  const files = readdirSync(daemon.dataDir).filter((name) => !["admin.key", "master.key"].includes(name));
  const places = [
    ["the log", daemon.log()],
    ["answers", answers.join("\n")],
    ...files.map((name) => [name, readFileSync(join(daemon.dataDir, name)).toString("latin1")] as const),
  ] as const;
  expect(files).toContain("hookd.db");
  const secrets = [SECRET, ROTATED, SECRET.slice(6), ROTATED.slice(6), HEADER, daemon.key, made.json.key];
  const found = places.flatMap(([place, text]) =>
    secrets.filter((secret) => text.includes(secret)).map((secret) => `${secret} in ${place}`),
  );
  expect(found).toEqual([]);
  // The search itself works: what is not secret is found where it belongs.
  expect(places.find(([place]) => place === "hookd.db")?.[1]).toContain("order.paid");
  expect(daemon.log()).toContain(created.json.id);
});
