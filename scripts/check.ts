// npm run check: types, lint, import directions and tidiness, unit tests. In seconds, for every save.
import { assertNode, run } from "./run.ts";

assertNode();
await run("types", "tsc", ["--noEmit"]);
await run("lint", "biome", ["check", "--error-on-warnings", "."]);
await run("unit tests", "vitest", ["run", "test/tidy.test.ts", "test/domain", "test/lib", "test/config"]);
