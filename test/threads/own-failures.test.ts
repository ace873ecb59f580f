import { expect, test } from "vitest";
import type { DeliveryId } from "../../src/domain/ids.ts";
import { SendFailure } from "../../src/sender/failure.ts";
import { type FailureReport, OwnFailures } from "../../src/threads/own-failures.ts";
import { FakeTime } from "../support/fake-clock.ts";

test("failures inside hookd are told once a second, those of receivers never", async () => {
  const time = new FakeTime();
  const reports: FailureReport[] = [];
  const failures = new OwnFailures(time, time, (report) => reports.push(report));
  failures.add(1 as DeliveryId, new SendFailure("connect", "ECONNREFUSED"));
  await time.advance(2_000);
  expect(reports).toEqual([]);
  failures.add(2 as DeliveryId, new SendFailure("internal", "EMFILE"));
  await time.advance(10);
  for (const id of [3, 4, 5]) failures.add(id as DeliveryId, new SendFailure("internal", `EMFILE ${id}`));
  await time.advance(500);
  expect(reports).toEqual([{ count: 1, deliveryId: 2, message: "EMFILE" }]);
  await time.advance(1_000);
  expect(reports.slice(1)).toEqual([{ count: 3, deliveryId: 5, message: "EMFILE 5" }]);
  await time.advance(5_000);
  expect(reports).toHaveLength(2);
});
