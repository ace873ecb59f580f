import { conformance } from "./conformance.ts";
import { sqliteAdapter } from "./sqlite-adapter.ts";

conformance("SQLite", () => sqliteAdapter());
conformance("SQLite, folded in slices of one after every call", () => sqliteAdapter({ foldSliceRows: 1 }), {
  isFoldedEachTime: true,
});
