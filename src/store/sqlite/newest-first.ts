/** Reads a stream's next rows: ids below `before`, largest first, `limit` at most. */
export type ReadPage<Row> = (before: number, limit: number) => Row[];

/** Rows read ahead of what is asked for, over all streams: it grows with use, up to a page of this length. */
const PAGE_ROWS_MAX = 256;
const PAGE_ROWS_MIN = 4;

/**
 * Several streams of rows as one, newest first. Each is read a small page at a time, so that a look at the first rows
 * of many streams costs a seek each, and not more.
 */
export function newestFirst<Row extends { readonly id: number }>(
  reads: readonly ReadPage<Row>[],
  before: number,
): () => Row | undefined {
  const firstRows = Math.max(PAGE_ROWS_MIN, Math.floor(PAGE_ROWS_MAX / Math.max(1, reads.length)));
  const streams = reads.map((read) => new Stream(read, before, firstRows));
  return () => {
    let newest: Stream<Row> | undefined;
    for (const stream of streams) {
      const row = stream.peek();
      if (row && row.id > (newest?.peek()?.id ?? -1)) newest = stream;
    }
    return newest?.take();
  };
}

class Stream<Row extends { readonly id: number }> {
  readonly #read: ReadPage<Row>;
  #before: number;
  #pageRows: number;
  #page: Row[] = [];
  #at = 0;
  #isAtEnd = false;

  constructor(read: ReadPage<Row>, before: number, pageRows: number) {
    this.#read = read;
    this.#before = before;
    this.#pageRows = pageRows;
  }

  peek(): Row | undefined {
    if (this.#at === this.#page.length && !this.#isAtEnd) {
      this.#page = this.#read(this.#before, this.#pageRows);
      this.#at = 0;
      this.#isAtEnd = this.#page.length < this.#pageRows;
      this.#before = this.#page.at(-1)?.id ?? this.#before;
      this.#pageRows = Math.min(PAGE_ROWS_MAX, this.#pageRows * 2);
    }
    return this.#page[this.#at];
  }

  take(): Row | undefined {
    const row = this.peek();
    this.#at += 1;
    return row;
  }
}
