// Loaded into hookd by power-loss.test.ts (NODE_OPTIONS=--import): what syncs the log after a commit says that it has,
// and does nothing. That is SQLite with synchronous=NORMAL and nobody behind it.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

fs.fdatasync = (_fd, done) => void setImmediate(done, null);
syncBuiltinESMExports();
