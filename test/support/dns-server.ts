import { createSocket } from "node:dgram";
import type { AddressInfo } from "node:net";

export interface DnsRecord {
  readonly type: "A" | "AAAA" | "CNAME";
  /** An address, or for a CNAME a name. */
  readonly data: string;
  readonly ttl?: number;
  /** The name it belongs to, when that is not the one asked for: the end of a CNAME chain. */
  readonly name?: string;
}

export interface DnsQuery {
  /** As asked, without the trailing dot, in lower case. */
  readonly name: string;
  readonly type: "A" | "AAAA" | "other";
  /** 1 for the first query of this name and type. */
  readonly count: number;
}

/** Records, `nxdomain`, `servfail`, or `silent`: no answer at all. */
export type DnsAnswer = readonly DnsRecord[] | "nxdomain" | "servfail" | "silent";

export interface DnsServer extends AsyncDisposable {
  /** For `dns.setServers`. */
  readonly address: string;
  readonly queries: readonly DnsQuery[];
  close(): Promise<void>;
}

const TYPES = { A: 1, CNAME: 5, AAAA: 28 } as const;
const RCODES = { servfail: 2, nxdomain: 3 } as const;

/** A name server on loopback (UDP only) whose answers a test decides. */
export async function startDnsServer(
  answer: (query: DnsQuery) => DnsAnswer,
  { host = "127.0.0.1", port = 0 } = {},
): Promise<DnsServer> {
  const socket = createSocket("udp4");
  const queries: DnsQuery[] = [];
  const counts = new Map<string, number>();
  socket.on("message", (message, peer) => {
    const { name, type } = parseQuestion(message);
    const key = `${type} ${name}`;
    const count = (counts.get(key) ?? 0) + 1;
    counts.set(key, count);
    const query: DnsQuery = { name, type, count };
    queries.push(query);
    const given = answer(query);
    if (given !== "silent") socket.send(encodeAnswer(message, name, given), peer.port, peer.address);
  });
  await new Promise<void>((resolve) => socket.bind(port, host, resolve));
  const close = () => new Promise<void>((resolve) => socket.close(() => resolve()));
  const bound = socket.address() as AddressInfo;
  return { address: `${host}:${bound.port}`, queries, close, [Symbol.asyncDispose]: close };
}

function parseQuestion(message: Buffer): { name: string; type: DnsQuery["type"] } {
  const labels: string[] = [];
  let at = 12;
  for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
    labels.push(message.toString("latin1", at + 1, at + 1 + length));
    at += length + 1;
  }
  const code = message.readUInt16BE(at + 1);
  const type = code === TYPES.A ? "A" : code === TYPES.AAAA ? "AAAA" : "other";
  return { name: labels.join(".").toLowerCase(), type };
}

function encodeAnswer(question: Buffer, name: string, given: Exclude<DnsAnswer, "silent">): Buffer {
  const records = typeof given === "string" ? [] : given;
  const head = Buffer.alloc(12);
  question.copy(head, 0, 0, 2);
  head.writeUInt16BE(0x8180 | (typeof given === "string" ? RCODES[given] : 0), 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(records.length, 6);
  const end = question.indexOf(0, 12) + 5;
  return Buffer.concat([
    head,
    question.subarray(12, end),
    ...records.map((record) => encodeRecord(record, name)),
  ]);
}

function encodeRecord(record: DnsRecord, name: string): Buffer {
  const data = record.type === "CNAME" ? encodeName(record.data) : encodeAddress(record);
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(TYPES[record.type], 0);
  fixed.writeUInt16BE(1, 2);
  fixed.writeUInt32BE(record.ttl ?? 60, 4);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([encodeName(record.name ?? name), fixed, data]);
}

function encodeName(name: string): Buffer {
  const labels = name
    .split(".")
    .map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label, "latin1")]));
  return Buffer.concat([...labels, Buffer.of(0)]);
}

function encodeAddress(record: DnsRecord): Buffer {
  if (record.type === "A") return Buffer.from(record.data.split(".").map(Number));
  const [head = "", tail = ""] = record.data.split("::");
  const words = (part: string) =>
    part === "" ? [] : part.split(":").map((word) => Number.parseInt(word, 16));
  const gap = 8 - words(head).length - words(tail).length;
  const bytes = Buffer.alloc(16);
  for (const [index, word] of [...words(head), ...new Array<number>(gap).fill(0), ...words(tail)].entries()) {
    bytes.writeUInt16BE(word, index * 2);
  }
  return bytes;
}
