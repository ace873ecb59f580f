import { expect, test } from "vitest";
import { refusalProblem } from "../../src/domain/refusal.ts";

test.each([
  ["starting", "store_unavailable", 1],
  ["shutting_down", "shutting_down", 5],
  ["disk_full", "disk_full", 30],
  ["store_unavailable", "store_unavailable", 5],
] as const)("%s is told as %s, to be asked again after %i s", (refusal, code, retryAfterSeconds) => {
  expect(refusalProblem(refusal)).toMatchObject({ code, status: 503, retryAfterSeconds });
});
