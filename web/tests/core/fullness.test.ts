import { expect, test } from "vitest";
import { fullness } from "../../src/core/fullness";

const of = (seats_available: number, seats_total: number) => fullness({ seats_available, seats_total });

test("how full a showing is", () => {
  expect([60, 29, 7, 6, 1, 0].map((left) => of(left, 60))).toEqual([
    "plenty",
    "filling up",
    "filling up",
    "last seats",
    "last seats",
    "sold out",
  ]);
});

test("in a small room three are the last, and a room without seats is sold out", () => {
  expect([4, 3].map((left) => of(left, 12))).toEqual(["filling up", "last seats"]);
  expect(of(0, 0)).toBe("sold out");
});
