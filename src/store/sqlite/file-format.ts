/**
 * Rows out of the pages of a SQLite database (https://sqlite.org/fileformat2.html), for peek.ts: small tables
 * only. A row that does not fit its page is passed over; hookd's settings do.
 */
export type Value = string | number | null;
export type Row = readonly Value[];

/** Gives a page by its number, from 1. */
export type ReadPage = (number: number) => Buffer;

/** A damaged file may lead round in circles: more pages than any small table has end the walk. */
const PAGES_MAX = 1_000;
const FILE_HEADER_BYTES = 100;
const TABLE_LEAF = 0x0d;
const TABLE_INTERIOR = 0x05;
const INDEX_LEAF = 0x0a;
const INDEX_INTERIOR = 0x02;
/** Bytes of the integers that serial types 1 to 6 stand for. */
const INTEGER_BYTES = [0, 1, 2, 3, 4, 6, 8];

/** Every row of a table by the number of its root page. `usableBytes`: of a page. */
export function rowsOf(root: number, readPage: ReadPage, usableBytes: number): Row[] {
  const rows: Row[] = [];
  const open = [root];
  for (let visited = 0; open.length > 0; visited += 1) {
    if (visited === PAGES_MAX) throw new Error(`the table at page ${root} has no end`);
    const number = open.pop() ?? root;
    readTreePage(readPage(number), number === 1 ? FILE_HEADER_BYTES : 0, usableBytes, rows, open);
  }
  return rows;
}

/** Adds the page's rows to `rows`, and its children to `open`. */
function readTreePage(page: Buffer, at: number, usableBytes: number, rows: Row[], open: number[]): void {
  const type = page.readUInt8(at);
  if (![TABLE_LEAF, TABLE_INTERIOR, INDEX_LEAF, INDEX_INTERIOR].includes(type)) {
    throw new Error(`a page of a table begins with ${type}`);
  }
  const isInterior = type === TABLE_INTERIOR || type === INDEX_INTERIOR;
  const isIndex = type === INDEX_LEAF || type === INDEX_INTERIOR;
  const pointers = at + (isInterior ? 12 : 8);
  const localMax = isIndex ? Math.floor(((usableBytes - 12) * 64) / 255) - 23 : usableBytes - 35;
  if (isInterior) open.push(page.readUInt32BE(at + 8));
  for (let index = 0; index < page.readUInt16BE(at + 3); index += 1) {
    let cell = page.readUInt16BE(pointers + index * 2);
    if (isInterior) {
      open.push(page.readUInt32BE(cell));
      cell += 4;
      // Rows of a table are in its leaves only; an index has some in between.
      if (!isIndex) continue;
    }
    const payload = readVarint(page, cell);
    const begin = isIndex ? payload.end : readVarint(page, payload.end).end;
    if (payload.value <= localMax) rows.push(readRecord(page.subarray(begin, begin + payload.value)));
  }
}

function readRecord(bytes: Buffer): Row {
  const header = readVarint(bytes, 0);
  const row: Value[] = [];
  let at = header.end;
  let content = header.value;
  while (at < header.value) {
    const type = readVarint(bytes, at);
    at = type.end;
    const length = lengthOf(type.value);
    row.push(readValue(bytes.subarray(content, content + length), type.value));
    content += length;
  }
  return row;
}

function lengthOf(type: number): number {
  if (type >= 12) return Math.floor((type - 12) / 2);
  return type === 7 ? 8 : (INTEGER_BYTES[type] ?? 0);
}

/** Blobs and floats are no settings: null stands for them. */
function readValue(bytes: Buffer, type: number): Value {
  if (type >= 13 && type % 2 === 1) return bytes.toString("utf8");
  if (type === 8 || type === 9) return type - 8;
  if (type < 1 || type > 6) return null;
  return type === 6 ? Number(bytes.readBigInt64BE()) : bytes.readIntBE(0, bytes.length);
}

/** Big-endian, seven bits a byte; the ninth byte has all eight. */
function readVarint(bytes: Buffer, at: number): { value: number; end: number } {
  let value = 0;
  for (let index = 0; index < 8; index += 1) {
    const byte = bytes.readUInt8(at + index);
    value = value * 128 + (byte & 0x7f);
    if (byte < 0x80) return { value, end: at + index + 1 };
  }
  return { value: value * 256 + bytes.readUInt8(at + 8), end: at + 9 };
}
