import { describe, expect, it } from "vitest";
import { compileAddressPolicy } from "../../src/domain/address.ts";
import { Dialer } from "../../src/sender/connector.ts";
import { Deadlines } from "../../src/sender/deadlines.ts";
import type { SendFailure } from "../../src/sender/failure.ts";
import type { Target } from "../../src/sender/port.ts";
import { NameResolver } from "../../src/sender/resolver.ts";
import { type DnsAnswer, type DnsQuery, startDnsServer } from "../support/dns-server.ts";
import { answerOk, canaries, receiver, setup, TIMEOUT_MS, testClock } from "./setup.ts";

const blocked = { verdict: "blocked", error: "blocked", statusCode: null };
const a = (data: string, ttl = 60) => ({ type: "A", data, ttl }) as const;
const aaaa = (data: string, ttl = 60) => ({ type: "AAAA", data, ttl }) as const;

/** Answers of a hostile name server, none of which may lead anywhere. */
const EVIL: [name: string, answer: (query: DnsQuery) => DnsAnswer][] = [
  ["loopback", ({ type }) => (type === "A" ? [a("127.0.0.1")] : [])],
  ["loopback in IPv6", ({ type }) => (type === "AAAA" ? [aaaa("::1")] : [])],
  ["a mapped loopback", ({ type }) => (type === "AAAA" ? [aaaa("::ffff:7f00:1")] : [])],
  ["this network", ({ type }) => (type === "A" ? [a("0.0.0.0")] : [])],
  ["the unspecified address", ({ type }) => (type === "AAAA" ? [aaaa("::")] : [])],
  ["metadata", ({ type }) => (type === "A" ? [a("169.254.169.254")] : [])],
  ["a private address", ({ type }) => (type === "A" ? [a("10.0.0.1")] : [])],
  [
    "a public, then a private address",
    ({ type }) => (type === "A" ? [a("93.184.216.34"), a("127.0.0.1")] : []),
  ],
  [
    "a private, then a public address",
    ({ type }) => (type === "A" ? [a("127.0.0.1"), a("93.184.216.34")] : []),
  ],
  ["a public A and a private AAAA", ({ type }) => (type === "A" ? [a("93.184.216.34")] : [aaaa("::1")])],
  [
    "a public AAAA and a private A",
    ({ type }) => (type === "A" ? [a("127.0.0.1")] : [aaaa("2606:4700::1111")]),
  ],
  [
    "a private address behind 20 public ones",
    ({ type }) =>
      type === "A" ? [...Array.from({ length: 20 }, (_, i) => a(`93.184.216.${i + 1}`)), a("127.0.0.1")] : [],
  ],
  [
    "a CNAME to a private address",
    ({ name, type }) =>
      type === "A"
        ? [
            { type: "CNAME", data: "b.evil.test" },
            { ...a("127.0.0.1"), name: "b.evil.test" },
          ]
        : name === ""
          ? []
          : [{ type: "CNAME", data: "b.evil.test" }],
  ],
  [
    "a chain of CNAMEs to localhost",
    ({ type }) => [
      { type: "CNAME", data: "b.evil.test" },
      { type: "CNAME", data: "c.evil.test", name: "b.evil.test" },
      { type: "CNAME", data: "localhost", name: "c.evil.test" },
      ...(type === "A"
        ? [{ ...a("127.0.0.1"), name: "localhost" }]
        : [{ ...aaaa("::1"), name: "localhost" }]),
    ],
  ],
];

describe("a name that resolves to", () => {
  it.each(EVIL)("%s is blocked, and nothing on this machine is connected to", async (_name, answer) => {
    const canary = await canaries();
    await using dns = await startDnsServer(answer);
    const { post, order, sender, failures } = setup({ loopback: false, dnsServers: [dns.address] });
    for (const scheme of ["http", "https"]) {
      expect((await post(`${scheme}://evil.test:${canary.port}/`)).attempt).toMatchObject(blocked);
      expect((await order()).attempt).toMatchObject(blocked);
    }
    await sender.stop();
    expect(canary.touched()).toBe(0);
    expect(dns.queries.length).toBeGreaterThan(0);
    expect(failures.every(({ kind }) => kind === "blocked")).toBe(true);
  });

  it("another address at each query finds no gap between check and use", async () => {
    const canary = await canaries();
    // 127.0.0.9 stands for a public address: the only one that is open. Odd queries get it, even ones get the
    // canary: a guard that resolves again to connect, or keeps a verdict for a name, is lost.
    const server = await receiver(
      (socket) => socket.end("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
      { host: "127.0.0.9", port: canary.port },
    );
    await using dns = await startDnsServer(({ type, count }) =>
      type === "A" ? [a(count % 2 === 1 ? "127.0.0.9" : "127.0.0.1", 0)] : [],
    );
    const policy = compileAddressPolicy({
      allow: ["127.0.0.9/32"],
      allowLoopback: false,
      nat64: false,
      own: [],
    });
    const { target, order, clock, sender } = setup({ policy, dnsServers: [dns.address] });
    target(`http://evil.test:${canary.port}/`);
    const verdicts: string[] = [];
    for (let round = 0; round < 6; round += 1) {
      verdicts.push((await order()).attempt.verdict);
      await server.allClosed();
      clock.advance(5_001);
    }
    await sender.stop();
    expect(verdicts).toEqual(["success", "blocked", "success", "blocked", "success", "blocked"]);
    expect(dns.queries.filter(({ type }) => type === "A")).toHaveLength(6);
    expect(server.connections).toBe(3);
    expect(canary.touched()).toBe(0);
  });
});

describe("a literal", () => {
  it.each([
    "127.0.0.1",
    "[::1]",
    "2130706433",
    "0x7f.1",
    "0177.0.0.1",
    "127.1",
    "0",
    "①②⑦.⓪.⓪.①",
    "%31%32%37.0.0.1",
    "127.0.0.1.",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::7f00:1]",
    "[64:ff9b::7f00:1]",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "ℓocalhost",
    "127.0.0.1\\@evil.test:1",
    "10.0.0.1",
    "169.254.169.254",
    "[fd00:ec2::254]",
  ])("%s is blocked without a query or a connection", async (host) => {
    const canary = await canaries();
    await using dns = await startDnsServer(() => [a("127.0.0.1")]);
    const { post, sender } = setup({ loopback: false, dnsServers: [dns.address] });
    const url = host.includes("@") ? `http://${host}/` : `http://${host}:${canary.port}/`;
    expect((await post(url)).attempt).toMatchObject(blocked);
    await sender.stop();
    expect(canary.touched()).toBe(0);
    expect(dns.queries).toEqual([]);
  });

  it("of IPv6 is reached where loopback is open", async () => {
    const server = await receiver(answerOk, { host: "::1" });
    const { post } = setup();
    expect((await post(server.url)).attempt.verdict).toBe("success");
    expect(server.requests[0]).toContain(`\r\nhost: [::1]:${server.port}\r\n`);
  });

  it("is checked where it is dialled, too", async () => {
    const canary = await canaries();
    const clock = testClock();
    const deadlines = new Deadlines(clock);
    const resolver = new NameResolver(clock, deadlines, []);
    const policy = compileAddressPolicy({ allow: [], allowLoopback: false, nat64: false, own: [] });
    const dialer = new Dialer({ clock, deadlines, policy, resolver, allowLoopback: false, caFile: null });
    for (const host of ["127.0.0.1", "::1", "::ffff:7f00:1", "localhost"]) {
      for (const isTls of [false, true]) {
        const endpoint = { origin: "x", host, port: canary.port, isTls };
        const failure = await new Promise<SendFailure | null>((resolve) =>
          dialer.dial(endpoint, resolve, () => {}),
        );
        expect(failure).toMatchObject({ kind: "blocked" });
      }
    }
    expect(deadlines.size).toBe(0);
    deadlines.stop();
    expect(canary.touched()).toBe(0);
  });

  it("is not sent a byte when the connected peer turns out to be another than vetted", async () => {
    const server = await receiver(answerOk);
    let isFirst = true;
    // A policy that changes its mind between the vetting and the connection stands for whatever may go wrong
    // there.
    const check = () => {
      if (!isFirst) return { ok: false, why: "changed" } as const;
      isFirst = false;
      return { ok: true } as const;
    };
    const clock = testClock();
    const deadlines = new Deadlines(clock);
    const resolver = new NameResolver(clock, deadlines, []);
    const dialer = new Dialer({
      clock,
      deadlines,
      policy: { check },
      resolver,
      allowLoopback: true,
      caFile: null,
    });
    const endpoint = { origin: "x", host: "127.0.0.1", port: server.port, isTls: false };
    const failure = await new Promise<SendFailure | null>((resolve) =>
      dialer.dial(endpoint, resolve, () => {}),
    );
    expect(failure).toMatchObject({ kind: "blocked" });
    deadlines.stop();
    await server.allClosed();
    expect(server.sockets.every(({ bytesRead }) => bytesRead === 0)).toBe(true);
  });
});

describe("resolving", () => {
  const loopback = ({ type }: DnsQuery) => (type === "A" ? [a("127.0.0.1")] : []);

  it("asks for the fully qualified name, A and AAAA once each, and connects to the answer", async () => {
    const server = await receiver(answerOk);
    await using dns = await startDnsServer(loopback);
    const { post } = setup({ dnsServers: [dns.address] });
    expect((await post(`http://Receiver.test.:${server.port}/`)).attempt.verdict).toBe("success");
    expect(dns.queries.map(({ name, type }) => `${type} ${name}`).sort()).toEqual([
      "A receiver.test",
      "AAAA receiver.test",
    ]);
    expect(server.requests[0]).toContain(`\r\nhost: receiver.test:${server.port}\r\n`);
  });

  it("is shared by all that wait for one name", async () => {
    const server = await receiver(answerOk);
    await using dns = await startDnsServer(loopback);
    const { target, order } = setup({ dnsServers: [dns.address] });
    target(`http://receiver.test:${server.port}/`);
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => order()));
    expect(outcomes.every(({ attempt }) => attempt.verdict === "success")).toBe(true);
    expect(server.connections).toBe(20);
    expect(dns.queries).toHaveLength(2);
  });

  it.each([
    [0, 5_000],
    [30, 30_000],
    [86_400, 60_000],
  ])("with a TTL of %i s asks again after %i ms", async (ttl, ms) => {
    const server = await receiver((socket) =>
      socket.end("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
    );
    await using dns = await startDnsServer(({ type }) => (type === "A" ? [a("127.0.0.1", ttl)] : []));
    const { post, order, clock } = setup({ dnsServers: [dns.address] });
    await post(`http://receiver.test:${server.port}/`);
    clock.advance(ms - 1_000);
    await order();
    expect(dns.queries).toHaveLength(2);
    clock.advance(1_001);
    await order();
    expect(dns.queries).toHaveLength(4);
  });

  it.each(["nxdomain", "servfail", [] as DnsAnswer] as DnsAnswer[])(
    "%j fails as dns, and is remembered for 5 s",
    async (answer) => {
      await using dns = await startDnsServer(() => answer);
      const { post, order, clock } = setup({ dnsServers: [dns.address] });
      const failed = { verdict: "retry", error: "dns", statusCode: null };
      expect((await post("http://receiver.test:8000/")).attempt).toMatchObject(failed);
      const asked = dns.queries.length;
      expect((await order()).attempt).toMatchObject(failed);
      expect(dns.queries).toHaveLength(asked);
      clock.advance(5_001);
      expect((await order()).attempt).toMatchObject(failed);
      expect(dns.queries.length).toBeGreaterThan(asked);
    },
  );

  it("at a dead name server fails as dns after 2 s, long before the attempt's deadline", async () => {
    await using dns = await startDnsServer(() => "silent");
    const { post, clock } = setup({ dnsServers: [dns.address] });
    const attempt = post("http://receiver.test:8000/");
    await until(() => dns.queries.length >= 2);
    clock.advance(2_000);
    const outcome = await attempt;
    expect(outcome.attempt).toMatchObject({ verdict: "retry", error: "dns" });
    expect(outcome.attempt.durationMs).toBeLessThan(TIMEOUT_MS);
  });

  it("has a deadline of its own, whatever c-ares does", async () => {
    await using dns = await startDnsServer(() => "silent");
    const clock = testClock();
    const deadlines = new Deadlines(clock);
    const resolver = new NameResolver(clock, deadlines, [dns.address]);
    const ended = new Promise<SendFailure | null>((resolve) => resolver.resolve("receiver.test", resolve));
    expect(deadlines.size).toBe(1);
    clock.advance(2_000);
    expect(await ended).toMatchObject({ kind: "dns", message: "receiver.test: no answer" });
    expect(deadlines.size).toBe(0);
    resolver.stop();
    deadlines.stop();
  });

  it("takes the A records of a server that leaves AAAA unanswered", async () => {
    const server = await receiver(answerOk);
    await using dns = await startDnsServer(({ type }) => (type === "A" ? [a("127.0.0.1")] : "silent"));
    const { post, clock } = setup({ dnsServers: [dns.address] });
    const attempt = post(`http://receiver.test:${server.port}/`);
    await until(() => dns.queries.length >= 2);
    // The answer to A must have come before the clock moves.
    for (let turn = 0; turn < 20; turn += 1) await new Promise((done) => setImmediate(done));
    clock.advance(2_000);
    expect((await attempt).attempt.verdict).toBe("success");
  });

  it("does not stand in the way of other names", async () => {
    const server = await receiver(answerOk);
    await using dns = await startDnsServer(({ name, type }) =>
      name.startsWith("dead") ? "silent" : type === "A" ? [a("127.0.0.1")] : [],
    );
    const { target, order, clock } = setup({ dnsServers: [dns.address] });
    const targets = Array.from({ length: 50 }, (_, index) => (index + 2) as Target["webhookId"]);
    for (const webhookId of targets) target(`http://dead${webhookId}.test:8000/`, { webhookId });
    const dead = targets.map((webhookId) => order({ webhookId }));
    target(`http://alive.test:${server.port}/`);
    expect((await order()).attempt.verdict).toBe("success");
    clock.advance(2_000);
    for (const outcome of await Promise.all(dead)) expect(outcome.attempt.error).toBe("dns");
  });

  it("goes on to the next address when one does not answer", async () => {
    const server = await receiver(answerOk);
    await using dns = await startDnsServer(({ type }) =>
      type === "A" ? [a("127.0.0.2"), a("127.0.0.1")] : [aaaa("::1")],
    );
    const { post } = setup({ dnsServers: [dns.address] });
    expect((await post(`http://receiver.test:${server.port}/`)).attempt.verdict).toBe("success");
  });

  it("is not needed for localhost: 127.0.0.1, then ::1", async () => {
    await using dns = await startDnsServer(() => "nxdomain");
    const { post } = setup({ dnsServers: [dns.address] });
    const first = await receiver(answerOk);
    const second = await receiver(answerOk, { host: "::1" });
    expect((await post(`http://localhost:${first.port}/`)).attempt.verdict).toBe("success");
    expect((await post(`http://localhost:${second.port}/`)).attempt.verdict).toBe("success");
    expect(dns.queries).toEqual([]);
  });
});

describe("the environment", () => {
  it("cannot put a proxy in between", async () => {
    const proxy = await receiver(answerOk);
    const server = await receiver(answerOk);
    const names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "NODE_USE_ENV_PROXY"];
    const before = names.map((name) => process.env[name]);
    try {
      for (const name of names)
        process.env[name] = name === "NODE_USE_ENV_PROXY" ? "1" : `http://127.0.0.1:${proxy.port}`;
      const { post } = setup();
      expect((await post(server.url)).attempt.verdict).toBe("success");
    } finally {
      for (const [index, name] of names.entries()) {
        if (before[index] === undefined) delete process.env[name];
        else process.env[name] = before[index];
      }
    }
    expect(proxy.connections).toBe(0);
    expect(server.requests).toHaveLength(1);
  });
});

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((done) => setImmediate(done));
}
