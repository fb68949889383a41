import { expect, test } from "vitest";
import { leastPrice } from "../../src/core/money";

test("the least price, and whether there are others", () => {
  expect(leastPrice({ price: "9.50", prices: {} })).toEqual({ cents: 950, isOnly: true });
  expect(leastPrice({ price: "9.50", prices: { premium: "12.00" } })).toEqual({ cents: 950, isOnly: false });
  expect(leastPrice({ price: "9.50", prices: { wheelchair: "8.00" } })).toEqual({ cents: 800, isOnly: false });
});
