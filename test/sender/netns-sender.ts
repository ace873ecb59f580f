/**
 * The near side of netns.test.ts: makes one attempt after the other with a real sender that opens no private
 * address, and prints what each came to as JSON.
 *
 *   node netns-sender.ts <name server> <url>...
 */
import { compileAddressPolicy } from "../../src/domain/address.ts";
import type { DeliveryId, WebhookId } from "../../src/domain/ids.ts";
import { createSender } from "../../src/sender/http-sender.ts";
import type { Outcome } from "../../src/sender/port.ts";

const [nameServer = "", ...urls] = process.argv.slice(2);
let offset = 0;
let settle: (outcome: Outcome) => void = () => {};
const sender = createSender(
  {
    clock: { now: () => Date.now() + offset, mono: () => performance.now() + offset },
    version: "0",
    policy: compileAddressPolicy({ allow: [], allowLoopback: false, nat64: false, own: ["93.184.216.35"] }),
    allowHttp: true,
    allowLoopback: false,
    dnsServers: [nameServer],
    caFile: null,
    excerptBytes: 0,
    idleConnectionsMax: 8,
    open: () => ({
      secrets: [{ secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", expiresAt: null }],
      headers: [],
    }),
  },
  (outcome) => settle(outcome),
);

const results: unknown[] = [];
for (const [index, callbackUrl] of urls.entries()) {
  const webhookId = (index + 1) as WebhookId;
  sender.putTarget({
    webhookId,
    publicId: "wh_x",
    callbackUrl,
    timeoutMs: 15_000,
    sealed: new Uint8Array(),
    permanent: [],
  });
  const { attempt } = await new Promise<Outcome>((resolve) => {
    settle = resolve;
    sender.send([
      {
        deliveryId: (index + 1) as DeliveryId,
        token: 1,
        webhookId,
        attemptNumber: 1,
        eventUid: "evt_x",
        eventId: "a",
        contentType: "text/plain",
        payload: Buffer.from("x"),
        traceparent: null,
      },
    ]);
  });
  results.push([callbackUrl, attempt.verdict, attempt.statusCode ?? attempt.error]);
  // Past every TTL: the next attempt asks the name server again.
  offset += 60_001;
}
await sender.stop();
process.stdout.write(JSON.stringify(results));
