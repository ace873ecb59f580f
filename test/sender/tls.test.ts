import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createTcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket, TlsOptions } from "node:tls";
import { describe, expect, it, onTestFinished } from "vitest";
import {
  caPem,
  expiredPem,
  goodPem,
  leafKeyPem,
  selfSignedPem,
  wrongHostPem,
} from "../support/certificates.ts";
import { startDnsServer } from "../support/dns-server.ts";
import { answerOk, receiver, setup } from "./setup.ts";

const failed = { verdict: "retry", error: "tls", statusCode: null };
const serving = (cert: string, more: TlsOptions = {}): TlsOptions => ({ cert, key: leafKeyPem, ...more });

function caFile(): string {
  const directory = mkdtempSync(join(tmpdir(), "hookd-ca-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "ca.pem");
  writeFileSync(path, caPem);
  return path;
}

describe("a receiver with TLS", () => {
  it("is trusted by the operator's CA file, by name and by address", async () => {
    const names: (string | false | null)[] = [];
    const server = await receiver(answerOk, {
      tls: serving(goodPem),
      onConnection: (socket) => names.push((socket as TLSSocket).servername),
    });
    await using dns = await startDnsServer(({ type }) =>
      type === "A" ? [{ type: "A", data: "127.0.0.1" }] : [],
    );
    const { post } = setup({ caFile: caFile(), dnsServers: [dns.address] });
    for (const host of ["receiver.test", "localhost", "127.0.0.1"]) {
      expect((await post(`https://${host}:${server.port}/`)).attempt.verdict).toBe("success");
    }
    // A server name indication is a name, never an address.
    expect(names).toEqual(["receiver.test", "localhost", false]);
    expect(server.connections).toBe(3);
  });

  it.each<[string, TlsOptions, string]>([
    ["signed by itself", serving(selfSignedPem), "localhost"],
    ["of another host", serving(wrongHostPem), "localhost"],
    ["of another host, by address", serving(wrongHostPem), "127.0.0.1"],
    ["expired", serving(expiredPem), "localhost"],
    [
      "too old a protocol",
      serving(goodPem, { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" }),
      "localhost",
    ],
  ])("with a certificate or protocol %s fails as tls, and sees no request", async (_name, tls, host) => {
    const server = await receiver(answerOk, { tls });
    const { post, failures } = setup({ caFile: caFile() });
    expect((await post(`https://${host}:${server.port}/`)).attempt).toMatchObject(failed);
    expect(failures).toMatchObject([{ kind: "tls" }]);
    await server.allClosed();
    expect(server.requests).toEqual([]);
  });

  it("of a CA that only the operator knows fails without the CA file, whatever the environment says", async () => {
    const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
    try {
      const server = await receiver(answerOk, { tls: serving(goodPem) });
      const { post } = setup();
      expect((await post(`https://localhost:${server.port}/`)).attempt).toMatchObject(failed);
    } finally {
      if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
    }
  });

  it("is resumed, which spares it a handshake's certificates, when it is connected to again", async () => {
    const resumed: boolean[] = [];
    const server = await receiver(
      (socket) => socket.end("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
      {
        tls: serving(goodPem),
        onConnection: (socket) => resumed.push((socket as TLSSocket).isSessionReused()),
      },
    );
    const { post, order } = setup({ caFile: caFile() });
    await post(`https://localhost:${server.port}/`);
    await order();
    expect(resumed).toEqual([false, true]);
  });

  it("cannot be another host on a resumed session", async () => {
    const first = await receiver(
      (socket) => socket.end("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"),
      { tls: serving(goodPem) },
    );
    const { post, order } = setup({ caFile: caFile() });
    expect((await post(`https://localhost:${first.port}/`)).attempt.verdict).toBe("success");
    expect((await order()).attempt.verdict).toBe("success");
    const other = await receiver(answerOk, { tls: serving(wrongHostPem) });
    expect((await post(`https://localhost:${other.port}/`)).attempt).toMatchObject(failed);
  });

  it.each(["end", "resetAndDestroy"] as const)(
    "that goes away in the handshake by %s fails as tls",
    async (how) => {
      const { post } = setup();
      const url = await rawServer((socket) => socket.once("data", () => void socket[how]()));
      expect((await post(url)).attempt).toMatchObject(failed);
    },
  );

  it("that speaks plain HTTP, or garbage, fails as tls", async () => {
    const { post } = setup();
    for (const answer of [
      "HTTP/1.1 400 Bad Request\r\n\r\n",
      "\x15\x03\x03\x00\x02\x02\x28",
      "\x16\x03\x03\xff\xff".repeat(1_000),
    ]) {
      const url = await rawServer((socket) =>
        socket.once("data", () => socket.write(Buffer.from(answer, "latin1"))),
      );
      expect((await post(url)).attempt).toMatchObject(failed);
    }
  });

  it("that stalls in the handshake fails as tls after 5 s", async () => {
    const { post, clock } = setup();
    const { promise: greeted, resolve } = Promise.withResolvers<void>();
    const url = await rawServer((socket) => socket.once("data", () => resolve()));
    const attempt = post(url);
    await greeted;
    clock.advance(5_000);
    const outcome = await attempt;
    expect(outcome.attempt).toMatchObject(failed);
    expect(outcome.attempt.durationMs).toBeLessThan(10_000);
  });

  it("that stalls is ended by the attempt's deadline where that comes first", async () => {
    const { post, clock } = setup();
    const { promise: greeted, resolve } = Promise.withResolvers<void>();
    const url = await rawServer((socket) => socket.once("data", () => resolve()));
    const attempt = post(url, {}, { timeoutMs: 3_000 });
    await greeted;
    clock.advance(3_000);
    expect((await attempt).attempt).toMatchObject({ ...failed, error: "timeout" });
  });

  it("never negotiates HTTP/2", async () => {
    const protocols: (string | false | null)[] = [];
    const server = await receiver(answerOk, {
      tls: serving(goodPem, { ALPNProtocols: ["h2", "http/1.1"] }),
      onConnection: (socket) => protocols.push((socket as TLSSocket).alpnProtocol),
    });
    const { post } = setup({ caFile: caFile() });
    expect((await post(`https://localhost:${server.port}/`)).attempt.verdict).toBe("success");
    expect(protocols).toEqual(["http/1.1"]);
  });

  it("is read no further than the caps", async () => {
    const server = await receiver(
      (socket) => {
        socket.write("HTTP/1.1 500 X\r\ntransfer-encoding: chunked\r\n\r\n1;");
        const more = (): void =>
          void (socket.destroyed || socket.write(Buffer.alloc(16_384, "x"), () => setImmediate(more)));
        more();
      },
      { tls: serving(goodPem) },
    );
    const { post } = setup({ caFile: caFile() });
    expect((await post(`https://localhost:${server.port}/`)).attempt).toMatchObject({
      ...failed,
      error: "too_large",
      statusCode: 500,
    });
    await server.allClosed();
  });
});

describe("a CA file", () => {
  it("that is not there is an error at the start", () => {
    expect(() => setup({ caFile: "/nonexistent/ca.pem" })).toThrow("/nonexistent/ca.pem");
  });
});

/** A TCP server that the sender takes for one with TLS. */
async function rawServer(onSocket: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return `https://127.0.0.1:${(server.address() as { port: number }).port}/`;
}
