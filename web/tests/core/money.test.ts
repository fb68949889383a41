import { expect, test } from "vitest";
import { leastPrice, price } from "../../src/core/money";

test("the least price, and whether there are others", () => {
  expect(leastPrice({ price: "9.50", prices: {} })).toEqual({ cents: 950, isOnly: true });
  expect(leastPrice({ price: "9.50", prices: { premium: "12.00" } })).toEqual({ cents: 950, isOnly: false });
  expect(leastPrice({ price: "9.50", prices: { wheelchair: "8.00" } })).toEqual({ cents: 800, isOnly: false });
});

test("a price is told in the reader's form and to the hundredth, also where a currency has none", () => {
  expect(price(1150, "EUR", "en")).toBe("€11.50");
  expect(price(1100, "EUR", "nl")).toBe("€\u00a011,00");
  expect(price(110_000, "JPY", "en")).toBe("JP¥1,100");
  expect(price(1150, "JPY", "en")).toBe("JP¥11.50");
});
