import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type AddressPolicyOptions, compileAddressPolicy, isCidr } from "../../src/domain/address.ts";

const setup = (options: Partial<AddressPolicyOptions> = {}) =>
  compileAddressPolicy({ allow: [], allowLoopback: false, nat64: false, own: [], ...options });
const isOpen = (address: string, options: Partial<AddressPolicyOptions> = {}) =>
  setup(options).check(address).ok;

/** The rule again, written another way: numbers, masks and a table of its own. */
const V4_TABLE: [string, number][] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.31.196.0", 24],
  ["192.52.193.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["192.175.48.0", 24],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
  ["168.63.129.16", 32],
];
const v4Number = (text: string) => text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
const v4Text = (word: number) => [24, 16, 8, 0].map((shift) => (word >>> shift) & 255).join(".");
const v4Oracle = (word: number) =>
  !V4_TABLE.some(([base, bits]) => {
    const size = 2 ** (32 - bits);
    return Math.floor(word / size) === v4Number(base) / size;
  });

const V6_REFUSED: [bigint, bigint][] = [
  [0x2001n << 112n, 23n],
  [0x20010db8n << 96n, 32n],
  [0x2002n << 112n, 16n],
  [0x2620004f8000n << 80n, 48n],
  [0x3fffn << 112n, 20n],
];
const within = (value: bigint, [base, bits]: [bigint, bigint]) =>
  value >> (128n - bits) === base >> (128n - bits);
const v6Oracle = (value: bigint) =>
  within(value, [0x2000n << 112n, 3n]) && !V6_REFUSED.some((r) => within(value, r));
const groups = (value: bigint) =>
  Array.from({ length: 8 }, (_, index) => Number((value >> BigInt(112 - 16 * index)) & 0xffffn));
const v6Long = (value: bigint) =>
  groups(value)
    .map((group) => group.toString(16))
    .join(":");
/** The same address with a run of zero groups as `::`, upper case, and its last 32 bits dotted. */
function v6Spellings(value: bigint): string[] {
  const words = groups(value);
  const spellings = [
    v6Long(value),
    v6Long(value).toUpperCase(),
    words.map((w) => w.toString(16).padStart(4, "0")).join(":"),
  ];
  const head = words
    .slice(0, 6)
    .map((w) => w.toString(16))
    .join(":");
  spellings.push(`${head}:${v4Text(((words[6]! << 16) | words[7]!) >>> 0)}`);
  for (let from = 0; from < 8; from += 1) {
    let to = from;
    while (to < 8 && words[to] === 0) to += 1;
    if (to === from) continue;
    const hex = (part: number[]) => part.map((w) => w.toString(16)).join(":");
    spellings.push(`${hex(words.slice(0, from))}::${hex(words.slice(to))}`);
  }
  return spellings;
}

const anyV4 = fc.oneof(
  fc.integer({ min: 0, max: 0xffffffff }),
  // Ranges are small: half of the numbers are drawn at their edges.
  fc
    .tuple(fc.constantFrom(...V4_TABLE), fc.integer({ min: -2, max: 2 }), fc.boolean())
    .map(([[base, bits], by, end]) => {
      const at = v4Number(base) + (end ? 2 ** (32 - bits) - 1 : 0) + by;
      return Math.min(0xffffffff, Math.max(0, at));
    }),
);
const anyV6 = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }),
  fc.bigInt({ min: 0n, max: 2n ** 125n - 1n }).map((low) => (1n << 125n) + low),
  fc
    .tuple(
      fc.constantFrom<[bigint, bigint]>(...V6_REFUSED, [0x2000n << 112n, 3n]),
      fc.bigInt({ min: -2n, max: 2n }),
      fc.boolean(),
    )
    .map(([[base, bits], by, end]) => base + (end ? 2n ** (128n - bits) - 1n : 0n) + by),
  fc
    .tuple(fc.constantFrom(...V6_REFUSED), fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }))
    .map(([[base, bits], low]) => base | (low & (2n ** (128n - bits) - 1n))),
);

/** Every way to carry an IPv4 address in an IPv6 one. */
const EMBEDDINGS: Record<string, (v4: bigint) => bigint> = {
  mapped: (v4) => (0xffffn << 32n) | v4,
  compatible: (v4) => v4,
  siit: (v4) => (0xffffn << 48n) | v4,
  "6to4": (v4) => (0x2002n << 112n) | (v4 << 80n),
  nat64: (v4) => (0x64ff9bn << 96n) | v4,
  "nat64 local": (v4) => (0x64ff9b0001n << 80n) | v4,
  teredo: (v4) => (0x20010000n << 96n) | (v4 ^ 0xffffffffn),
  isatap: (v4) => (0xfe80n << 112n) | (0x5efen << 32n) | v4,
  "isatap without prefix": (v4) => (0x5efen << 32n) | v4,
};

describe("the address policy", () => {
  it("agrees with a bit-mask oracle on every IPv4 address", () => {
    const policy = setup();
    fc.assert(
      fc.property(anyV4, (word) => policy.check(v4Text(word)).ok === v4Oracle(word)),
      { numRuns: 20_000 },
    );
  });

  it("agrees with a bit-mask oracle on every IPv6 address, in every spelling", () => {
    const policy = setup();
    fc.assert(
      fc.property(anyV6, (value) => {
        for (const text of v6Spellings(value))
          expect([text, policy.check(text).ok]).toEqual([text, v6Oracle(value)]);
      }),
      { numRuns: 3_000 },
    );
  });

  it.each(Object.entries(EMBEDDINGS))("refuses every IPv4 address as %s", (_name, embed) => {
    const policies = [setup(), setup({ allowLoopback: true })];
    fc.assert(
      fc.property(anyV4, (word) => {
        const value = embed(BigInt(word));
        // ::1 is loopback itself; as compatible address 0.0.0.1 it is opened by allowLoopback.
        for (const [index, policy] of policies.entries()) {
          if (index === 1 && value === 1n) continue;
          for (const text of v6Spellings(value)) expect([text, policy.check(text).ok]).toEqual([text, false]);
        }
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.170",
    "192.0.0.192",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.1.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "::",
    "::1",
    "::7f00:1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:0:7f00:1",
    "::5efe:7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::1",
    "100::1",
    "100:0:0:1::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:1::1",
    "2001:2::1",
    "2001:3::1",
    "2001:4:112::1",
    "2001:10::1",
    "2001:20::1",
    "2001:30::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2620:4f:8000::1",
    "3fff::1",
    "5f00::1",
    "4000::1",
    "fc00::1",
    "fd00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ffff::1",
  ])("refuses %s", (address) => {
    expect(isOpen(address)).toBe(false);
  });

  it.each([
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2606:4700::1111",
    "2a00:1450::1",
    "2620:4f:8001::1",
    "3ffe::1",
  ])("opens the public %s", (address) => {
    expect(isOpen(address)).toBe(true);
  });

  it.each([
    "",
    " 8.8.8.8",
    "8.8.8.8 ",
    "8.8.8",
    "127.1",
    "2130706433",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "8.8.8.8.",
    "8.8.8.8/32",
    "2606:4700::1%eth0",
    "fe80::1%eth0",
    "[2606:4700::1]",
    "example.com",
    "::ffff:1.2.3",
    "1:2:3:4:5:6:7:8:9",
    "１.1.1.1",
  ])("refuses %j, which is no address", (text) => {
    expect(isOpen(text, { allow: ["0.0.0.0/0", "::/0"], allowLoopback: true, nat64: true })).toBe(false);
  });

  it("says which address it refuses, and why", () => {
    expect(setup().check("10.1.2.3")).toEqual({ ok: false, why: "10.1.2.3 is refused: private" });
  });
});

describe("what an operator can open", () => {
  it("opens exactly the allowed range", () => {
    fc.assert(
      fc.property(anyV4, fc.integer({ min: 0, max: 32 }), anyV4, (base, bits, word) => {
        const size = 2 ** (32 - bits);
        const start = Math.floor(base / size) * size;
        const isInside = word >= start && word < start + size;
        const isNever =
          v4Text(word).startsWith("169.254.") ||
          ["100.100.100.200", "168.63.129.16", "192.0.0.192"].includes(v4Text(word));
        const policy = setup({ allow: [`${v4Text(start)}/${bits}`] });
        expect(policy.check(v4Text(word)).ok).toBe(!isNever && (isInside || v4Oracle(word)));
      }),
      { numRuns: 2_000 },
    );
  });

  it("cannot open metadata addresses, in any embedding", () => {
    const everything = { allow: ["0.0.0.0/0", "::/0"], allowLoopback: true, nat64: true };
    const never = [
      "169.254.169.254",
      "169.254.0.1",
      "169.254.170.2",
      "100.100.100.200",
      "168.63.129.16",
      "192.0.0.192",
    ];
    for (const v4 of never) {
      expect([v4, isOpen(v4, everything)]).toEqual([v4, false]);
      for (const [name, embed] of Object.entries(EMBEDDINGS)) {
        for (const text of v6Spellings(embed(BigInt(v4Number(v4))))) {
          expect([name, text, isOpen(text, everything)]).toEqual([name, text, false]);
        }
      }
    }
    expect(isOpen("fd00:ec2::254", everything)).toBe(false);
    expect(isOpen("fd20:ce::254", everything)).toBe(false);
    expect(isOpen("10.0.0.1", everything)).toBe(true);
    expect(isOpen("fd00:ec2::253", everything)).toBe(true);
  });

  it("opens loopback with allowLoopback and nothing else", () => {
    const policy = setup({ allowLoopback: true });
    for (const address of ["127.0.0.1", "127.255.255.255", "::1"])
      expect(policy.check(address).ok).toBe(true);
    for (const address of ["0.0.0.0", "::", "10.0.0.1", "::ffff:127.0.0.1", "::2"]) {
      expect([address, policy.check(address).ok]).toEqual([address, false]);
    }
  });

  it("judges NAT64 by the IPv4 address inside when told to", () => {
    const policy = setup({ nat64: true, allowLoopback: true, allow: ["10.0.0.0/8"], own: ["9.9.9.9"] });
    expect(policy.check("64:ff9b::9.9.9.9").ok).toBe(false);
    expect(policy.check("64:ff9b::9.9.9.8").ok).toBe(true);
    fc.assert(
      fc.property(anyV4, (word) => {
        const text = v6Long(EMBEDDINGS.nat64!(BigInt(word)));
        expect([text, policy.check(text).ok]).toEqual([text, v4Oracle(word) && word !== v4Number("9.9.9.9")]);
        expect(policy.check(v6Long(EMBEDDINGS["nat64 local"]!(BigInt(word)))).ok).toBe(false);
      }),
    );
  });

  it("refuses the installation's own addresses unless they are allowed", () => {
    const own = ["93.184.216.34", "2606:2800:220::1"];
    for (const address of own) {
      expect(isOpen(address, { own })).toBe(false);
      expect(isOpen(address)).toBe(true);
    }
    expect(isOpen("93.184.216.34", { own, allow: ["93.184.216.0/24"] })).toBe(true);
    expect(isOpen("127.0.0.1", { own: ["127.0.0.1"], allowLoopback: true })).toBe(true);
  });

  it("names a CIDR that is none", () => {
    expect(() => setup({ allow: ["10.0.0.0/8", "10.0.0.0/33"] })).toThrow('"10.0.0.0/33" is not a CIDR');
    expect(() => setup({ own: ["nonsense"] })).toThrow('"nonsense" is not an IP address');
  });

  it("knows a CIDR", () => {
    const good = [
      "0.0.0.0/0",
      "10.0.0.0/8",
      "10.1.2.3/32",
      "::/0",
      "fd00::/8",
      "2001:db8::1/128",
      "192.168.128.0/17",
    ];
    const bad = [
      "10.0.0.1",
      "10.0.0.1/8",
      "10.0.0.0/",
      "10.0.0.0/08",
      "10.0.0.0/-1",
      "10.0.0/8",
      "fe80::%1/10",
      "::/129",
      "/8",
      "10.0.0.0/8/8",
      "10.0.0.0/8 ",
      "192.168.192.0/17",
      "x/0",
    ];
    for (const text of good) expect([text, isCidr(text)]).toEqual([text, true]);
    for (const text of bad) expect([text, isCidr(text)]).toEqual([text, false]);
  });
});
