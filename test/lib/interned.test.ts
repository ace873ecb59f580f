import { expect, test } from "vitest";
import { Interned } from "../../src/lib/interned.ts";

test("a text is what it was, however many others were given before it", () => {
  const interned = new Interned();
  for (let round = 0; round < 3; round += 1) {
    for (let n = 0; n < 12_000; n += 1) expect(interned.of(`user-${n}`)).toBe(`user-${n}`);
  }
});
