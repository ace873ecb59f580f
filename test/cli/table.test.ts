import { describe, expect, it } from "vitest";
import { type Column, printFields, printTable } from "../../src/cli/table.ts";
import { fakeTerminal } from "./support.ts";

interface Row {
  readonly id: string;
  readonly url: string;
  readonly at: string;
}

const COLUMNS: Column<Row>[] = [
  { title: "ID", text: ({ id }) => id },
  { title: "URL", text: ({ url }) => url, canShrink: true },
  { title: "AT", text: ({ at }) => at, shown: () => "1s ago" },
  { title: "RAW", text: ({ id }) => id, onTerminal: "never" },
];
const ROWS: Row[] = [
  { id: "wh_1", url: "https://example.com/a/long/path", at: "2026" },
  { id: "wh_22", url: "x\u001b[2Jy", at: "2027" },
];

describe("a table", () => {
  it("in a pipe is a line per row, tabs between, nothing left out", () => {
    const { terminal, out } = fakeTerminal();
    printTable(terminal, COLUMNS, ROWS);
    expect(out).toEqual([
      "wh_1\thttps://example.com/a/long/path\t2026\twh_1",
      "wh_22\tx\\x1b[2Jy\t2027\twh_22",
    ]);
  });

  it("on a terminal is aligned, with titles, and what came from outside is inert", () => {
    const { terminal, out } = fakeTerminal({ isTable: true });
    printTable(terminal, COLUMNS, ROWS);
    expect(out).toEqual([
      "ID     URL                              AT",
      "wh_1   https://example.com/a/long/path  1s ago",
      "wh_22  x\\x1b[2Jy                        1s ago",
    ]);
  });

  it("is cut where the terminal is narrow, in the column that may be", () => {
    const { terminal, out } = fakeTerminal({ isTable: true, columns: 36 });
    printTable(terminal, COLUMNS, ROWS);
    expect(out[1]).toBe("wh_1   https://example.co...  1s ago");
    expect(Math.max(...out.map(({ length }) => length))).toBeLessThanOrEqual(36);
  });

  it("leaves out columns for wide terminals only where they do not fit", () => {
    const columns: Column<Row>[] = [
      { title: "ID", text: ({ id }) => id },
      { title: "URL", text: ({ url }) => url, onTerminal: "wide" },
    ];
    const narrow = fakeTerminal({ isTable: true, columns: 20 });
    printTable(narrow.terminal, columns, ROWS);
    expect(narrow.out).toEqual(["ID", "wh_1", "wh_22"]);
    const wide = fakeTerminal({ isTable: true, columns: 40 });
    printTable(wide.terminal, columns, ROWS);
    expect(wide.out[0]).toMatch(/^ID +URL$/);
  });
});

describe("fields", () => {
  it("are name and value; those without a value are left out", () => {
    const { terminal, out } = fakeTerminal();
    printFields(terminal, [
      ["id", "wh_1"],
      ["reason", null],
      ["state", { text: "on", colour: "green" }],
    ]);
    expect(out).toEqual(["id\twh_1", "state\ton"]);
  });
});
