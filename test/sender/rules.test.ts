import type { Socket } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { type AddressPolicy, compileAddressPolicy } from "../../src/domain/address.ts";
import type { SenderRules } from "../../src/sender/http-sender.ts";
import { type DnsAnswer, type DnsServer, startDnsServer } from "../support/dns-server.ts";
import { until } from "../support/world.ts";
import { answerOk, OK_RESPONSE, receiver, setup } from "./setup.ts";

const NAME = "receiver.example.com";

function policy(allowLoopback: boolean): AddressPolicy {
  return compileAddressPolicy({ allow: [], allowLoopback, nat64: false, own: [] });
}

async function nameServer(answer: () => DnsAnswer): Promise<DnsServer> {
  const server = await startDnsServer(({ type }) => (type === "A" ? answer() : []));
  onTestFinished(() => server.close());
  return server;
}

const toLoopback = (): DnsAnswer => [{ type: "A", data: "127.0.0.1" }];

/** A sender that knows loopback by a name, and the rules it has. */
async function named() {
  const rules: SenderRules = {
    policy: policy(true),
    allowHttp: true,
    dnsServers: [(await nameServer(toLoopback)).address],
    excerptBytes: 1_024,
    idleConnectionsMax: 64,
  };
  return { ...setup(rules), rules };
}

describe("another address policy", () => {
  it("is for connections that are open too: an address that it denies gets nothing more", async () => {
    const { sender, post, order, rules } = await named();
    const server = await receiver(answerOk);
    await post(`http://${NAME}:${server.port}/`);
    expect(sender.counts().idleConnections).toBe(1);
    sender.changeRules({ ...rules, policy: policy(false) });
    expect(sender.counts().idleConnections).toBe(0);
    expect((await order()).attempt.verdict).toBe("blocked");
    expect(server.requests).toHaveLength(1);
  });

  it("lets an attempt that is under way end, and its connection with it", async () => {
    const { sender, post, order, rules } = await named();
    let held: Socket | undefined;
    const server = await receiver((socket) => {
      held = socket;
    });
    const attempt = post(`http://${NAME}:${server.port}/`);
    await server.requested(1);
    sender.changeRules({ ...rules, policy: policy(false) });
    held?.write(OK_RESPONSE);
    expect((await attempt).attempt.verdict).toBe("success");
    expect((await order()).attempt.verdict).toBe("blocked");
    expect(server.requests).toHaveLength(1);
  });

  it("is one only if it is another object: other rules leave connections open", async () => {
    const { sender, post, order, rules } = await named();
    const server = await receiver(answerOk);
    await post(`http://${NAME}:${server.port}/`);
    sender.changeRules({ ...rules, excerptBytes: 1, dnsServers: [...rules.dnsServers] });
    await order();
    expect(server.connections).toBe(1);
  });
});

describe("other name servers", () => {
  it("are asked at once, for names that were known and for names that the ones before are silent about", async () => {
    const { sender, clock, post, order, rules } = await named();
    const server = await receiver(answerOk);
    const silent = await nameServer(() => "silent");
    sender.changeRules({ ...rules, dnsServers: [silent.address] });
    const attempt = post(`http://${NAME}:${server.port}/`);
    await until("it is asked", () => silent.queries.length > 0);
    sender.changeRules(rules);
    // Past the time that a lookup has.
    clock.advance(3_000);
    expect((await attempt).attempt.error).toBe("dns");
    expect((await order()).attempt.verdict).toBe("success");
  });
});
