import { isIP } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compileAddressPolicy } from "../../src/domain/address.ts";
import { bareHost, parseCallbackUrl, URL_LENGTH_MAX } from "../../src/domain/url.ts";

function setup({ allowHttp = true, allowLoopback = false, allow = [] as string[] } = {}) {
  const policy = compileAddressPolicy({ allow, allowLoopback, nat64: false, own: [] });
  return (text: string) => parseCallbackUrl(text, { allowHttp, allowLoopback, policy });
}
const accepted = (url: string) => ({ ok: true, url });

describe("a callback URL", () => {
  it.each([
    ["https://example.com/hook?a=1", "https://example.com/hook?a=1"],
    ["https://EXAMPLE.com", "https://example.com/"],
    ["https://example.com./x", "https://example.com/x"],
    ["https:example.com", "https://example.com/"],
    ["  https://example.com/  ", "https://example.com/"],
    ["https://example.com:443/", "https://example.com/"],
    ["https://example.com:80/", "https://example.com:80/"],
    ["https://example.com:8443/", "https://example.com:8443/"],
    ["https://bücher.example/", "https://xn--bcher-kva.example/"],
    ["https://hook_1.example.com/", "https://hook_1.example.com/"],
    ["https://8.8.8.8/", "https://8.8.8.8/"],
    ["https://134744072/", "https://8.8.8.8/"],
    ["https://[2606:4700::1111]/", "https://[2606:4700::1111]/"],
    ["https://evil.com\t.example/", "https://evil.com.example/"],
  ])("%j is stored as %s", (text, url) => {
    expect(setup()(text)).toEqual(accepted(url));
  });

  it.each([
    "http://2130706433/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://127.1/",
    "http://0/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://%31%32%37.0.0.1/",
    "http://127.0.0.1./",
    "http://127.0.0.1\\@evil.com/",
    "http://0x7f000001/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::7f00:1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://169.254.169.254/latest",
    "http://[fd00:ec2::254]/",
    "http://10.0.0.1/",
    "http://0.0.0.0/",
    "http://１２７.0.0.1/",
    "http://127.0.0.1\t/",
    "ht\ntp://127.0.0.1/",
    "http:\\\\127.0.0.1\\",
    "http:127.0.0.1",
  ])("%j is refused for its address", (text) => {
    expect(setup()(text)).toMatchObject({ ok: false, why: expect.stringContaining("address") });
  });

  it.each([
    "http://ℓocalhost/",
    "http://localhost/",
    "http://localhost./",
    "http://LOCALHOST/",
    "http://a.localhost/",
    "http://printer.local/",
    "http://evil.com\t.internal/",
    "http://metadata.google.internal/",
    "http://x.lan/",
    "http://x.home.arpa/",
    "http://a.b.cluster.local/",
    "http://a.default.svc/",
    "http://intranet/",
    "http://intranet./",
    "http://evil.com../",
    "http://evil..com/",
    "http://.evil.com/",
    "http://./",
    "http://ex!ample.com/",
    "http://-a.com/",
    `http://${"a".repeat(64)}.com/`,
    `http://${"a.".repeat(127)}com/`,
  ])("%j is refused for its host", (text) => {
    expect(setup()(text)).toMatchObject({ ok: false, why: expect.stringContaining("host") });
  });

  it.each([
    ["http://127.0.0.1%2f@x.com/", "user name"],
    ["https://user@example.com/", "user name"],
    ["https://:secret@example.com/", "user name"],
    ["https://example.com/#a", "fragment"],
    ["https://example.com/#", "fragment"],
    ["ftp://example.com/", "scheme"],
    ["file:///etc/passwd", "scheme"],
    ["javascript:alert(1)", "scheme"],
    ["data:text/plain,x", "scheme"],
    ["https://example.com:0/", "port 0"],
    ["https://example.com:22/", "port 22"],
    ["https://example.com:25/", "port 25"],
    ["https://example.com:1023/", "port 1023"],
    ["https://example.com:6379/", "port 6379"],
    ["https://example.com:5432/", "port 5432"],
    ["https://example.com:9200/", "port 9200"],
    ["https://example.com:11211/", "port 11211"],
    ["https://example.com:2375/", "port 2375"],
    ["https://example.com:65536/", "not an absolute URL"],
    ["http://256.1/", "not an absolute URL"],
    ["http://4294967296/", "not an absolute URL"],
    ["http://[fe80::1%25eth0]/", "not an absolute URL"],
    ["https://", "not an absolute URL"],
    ["/hook", "not an absolute URL"],
    ["", "not an absolute URL"],
    [`https://example.com/${"a".repeat(URL_LENGTH_MAX)}`, "longer"],
    [`https://example.com/${"ü".repeat(URL_LENGTH_MAX / 3)}`, "longer"],
  ])("%j is refused: %s", (text, why) => {
    expect(setup()(text)).toMatchObject({ ok: false, why: expect.stringContaining(why) });
  });

  it("never repeats a password in its refusal", () => {
    for (const text of [
      "https://u:hunter2@example.com/",
      "ftp://u:hunter2@example.com/",
      "https://u:hunter2@:1",
    ]) {
      expect(JSON.stringify(setup()(text))).not.toContain("hunter2");
    }
  });

  it("may be http only where that is allowed", () => {
    expect(setup({ allowHttp: true })("http://example.com/")).toEqual(accepted("http://example.com/"));
    expect(setup({ allowHttp: false })("http://example.com/")).toMatchObject({ ok: false });
  });

  it("may name loopback where that is allowed, and no other private name or address", () => {
    const parse = setup({ allowLoopback: true });
    for (const url of ["http://localhost:8000/", "http://127.0.0.1:8000/", "http://[::1]:8000/"]) {
      expect(parse(url)).toEqual(accepted(url));
    }
    expect(parse("http://localhost./")).toEqual(accepted("http://localhost/"));
    for (const url of [
      "http://a.localhost/",
      "http://10.0.0.1/",
      "http://intranet/",
      "http://localhost:22/",
    ]) {
      expect(parse(url).ok).toBe(false);
    }
    expect(setup({ allow: ["10.0.0.0/8"] })("http://10.0.0.1/").ok).toBe(true);
  });

  it("once accepted is stable: it is its own href, has a public or named host, and is accepted again", () => {
    const parse = setup();
    const policy = compileAddressPolicy({ allow: [], allowLoopback: false, nat64: false, own: [] });
    const piece = fc.constantFrom(
      "127.0.0.1",
      "0x7f",
      "1",
      ".",
      "。",
      "@",
      "\\",
      "/",
      ":",
      "80",
      "%31",
      "%2e",
      "localhost",
      "ℓ",
      "①",
      "example",
      "com",
      "internal",
      "[",
      "]",
      "::1",
      "ffff:",
      "#",
      "?",
      "\t",
      "\n",
      " ",
      "8.8.8.8",
      "%00",
      "é",
      "-",
      "_",
    );
    const text = fc.array(piece, { minLength: 1, maxLength: 8 }).map((pieces) => `http://${pieces.join("")}`);
    fc.assert(
      fc.property(fc.oneof(text, fc.webUrl()), (candidate) => {
        const verdict = parse(candidate);
        if (!verdict.ok) return;
        const url = new URL(verdict.url);
        expect(url.href).toBe(verdict.url);
        expect(parse(verdict.url)).toEqual(verdict);
        const host = bareHost(url.hostname);
        if (isIP(host) !== 0) expect(policy.check(host).ok).toBe(true);
        else expect(host).toMatch(/^[a-z0-9_-]+(\.[a-z0-9_-]+)+$/);
      }),
      { numRuns: 5_000 },
    );
  });
});
