import { conformance } from "./conformance.ts";
import { sqliteAdapter } from "./sqlite-adapter.ts";

conformance("SQLite", sqliteAdapter);
conformance("SQLite, folded after every call", sqliteAdapter, { isFoldedEachTime: true });
