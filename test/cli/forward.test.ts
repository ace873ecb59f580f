import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { createForwarder } from "../../src/cli/listen/forward.ts";
import { type ReceivedDelivery, startReceiver } from "../../src/cli/listen/receiver.ts";

/** A receiver that hands on to a server which answers as `listener` says. */
async function setup(
  listener: RequestListener | null,
  options: { failShare?: number; timeoutMs?: number } = {},
) {
  const target = createServer(listener ?? (() => {}));
  await once(target.listen(0, "127.0.0.1"), "listening");
  const { port } = target.address() as AddressInfo;
  const close = () => {
    target.closeAllConnections();
    return new Promise((resolve) => target.close(resolve));
  };
  if (listener === null) await close();
  else onTestFinished(async () => void (await close()));
  const seen: ReceivedDelivery[] = [];
  const receiver = await startReceiver({
    host: "127.0.0.1",
    port: 0,
    keys: [],
    status: 200,
    failShare: options.failShare ?? 0,
    delayMs: 0,
    forward: createForwarder(new URL(`http://127.0.0.1:${port}/hooks?a=1`), options.timeoutMs),
    now: Date.now,
    onDelivery: (delivery) => seen.push(delivery),
  });
  onTestFinished(() => receiver.stop());
  const post = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) =>
    fetch(receiver.url, { method: "POST", body, headers, redirect: "manual" });
  return { seen, post, port };
}

describe("hookd listen --forward", () => {
  it("hands body and headers on as they came, and answers what came back", async () => {
    const got: { headers: IncomingHttpHeaders; url: string | undefined; body: Buffer }[] = [];
    const { seen, post, port } = await setup(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      got.push({ headers: request.headers, url: request.url, body: Buffer.concat(chunks) });
      response.writeHead(422, { "content-type": "text/x-odd", "x-a": "1", "retry-after": "7" }).end("\x00no");
    });
    const body = Buffer.from([0xff, 0x00, 0x0d, 0x0a, 0x7b]);
    const answer = await post(new Uint8Array(body), { "webhook-id": "evt_1", "content-type": "a/b" });
    expect(answer.status).toBe(422);
    expect(await answer.text()).toBe("\x00no");
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      "content-type": "text/x-odd",
      "x-a": "1",
      "retry-after": "7",
    });
    expect(got).toHaveLength(1);
    expect(got[0]?.url).toBe("/hooks?a=1");
    expect(got[0]?.body.equals(body)).toBe(true);
    expect(got[0]?.headers).toMatchObject({
      host: `127.0.0.1:${port}`,
      "webhook-id": "evt_1",
      "content-type": "a/b",
      "content-length": "5",
    });
    expect(seen[0]).toMatchObject({ status: 422, forwardError: null, isGone: false });
  });

  it("gives a redirect back instead of following it", async () => {
    const { post } = await setup((_, response) =>
      response.writeHead(302, { location: "http://127.0.0.1:1/" }).end(),
    );
    const answer = await post("{}");
    expect([answer.status, answer.headers.get("location")]).toEqual([302, "http://127.0.0.1:1/"]);
  });

  it("does not hand on what is to fail", async () => {
    let count = 0;
    const { post } = await setup(
      (_, response) => {
        count += 1;
        response.end();
      },
      { failShare: 1 },
    );
    expect((await post("{}")).status).toBe(500);
    expect(count).toBe(0);
  });

  it("answers 502 where nobody listens, and 504 where no answer comes", async () => {
    const nobody = await setup(null);
    expect((await nobody.post("{}")).status).toBe(502);
    expect(nobody.seen[0]?.forwardError).toContain("ECONNREFUSED");
    const silent = await setup(() => {}, { timeoutMs: 30 });
    const answer = await silent.post("{}");
    expect([answer.status, await answer.text()]).toEqual([504, "not forwarded: no answer within 0.03 s\n"]);
  });

  it("reads no more than 1 MiB of an answer, in one piece or without an end", async () => {
    const { seen, post } = await setup((request, response) => {
      request.resume();
      // As much as is taken: it ends only because the reader hangs up.
      const more = () => {
        while (response.write(Buffer.alloc(65_536, "x"))) if (response.destroyed) return;
      };
      response.on("drain", more).on("error", () => {});
      more();
    });
    expect((await post("{}")).status).toBe(502);
    expect(seen[0]?.forwardError).toContain("more than 1048576 bytes");
  });
});
