// npm test: everything but the gates. Times are printed, never asserted.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { assertNode, run } from "./run.ts";

assertNode();
await run("types", "tsc", ["--noEmit"]);
await run("lint", "biome", ["check", "--error-on-warnings", "."]);
const report = join(process.env.RUNNER_TEMP ?? "/tmp", `hookd-tests-${process.pid}.json`);
await run("tests", "vitest", ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${report}`]);

// A file that was not run, or a test that was skipped, must not look like a success.
const root = new URL("..", import.meta.url).pathname;
const files = readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" }).filter((path) =>
  path.endsWith(".test.ts"),
);
const { numPassedTests, numFailedTests, numPendingTests, testResults } = JSON.parse(
  readFileSync(report, "utf8"),
);
if (testResults.length !== files.length) {
  console.error(`${testResults.length} of ${files.length} test files were run`);
  process.exit(1);
}
if (numPendingTests > 0 || numFailedTests > 0) {
  console.error(`${numPendingTests} tests were skipped, ${numFailedTests} failed`);
  process.exit(1);
}
console.log(`${numPassedTests} passed, ${numFailedTests} failed`);
