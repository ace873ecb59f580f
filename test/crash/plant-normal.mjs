// Loaded into hookd by power-loss.test.ts (NODE_OPTIONS=--import): every database is opened with synchronous=NORMAL,
// and says FULL when it is asked. What better-sqlite3 does by default, had hookd not set and checked it.
import Database from "better-sqlite3";

const { pragma } = Database.prototype;
Database.prototype.pragma = function (text, options) {
  if (/^\s*synchronous\s*=/.test(text)) return pragma.call(this, "synchronous = NORMAL", options);
  const value = pragma.call(this, text, options);
  return /^\s*synchronous\s*$/.test(text) ? 2 : value;
};
