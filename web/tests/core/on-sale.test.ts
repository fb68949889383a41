import { expect, it } from "vitest";
import { isOnSale } from "../../src/core/on-sale";

const showing = { starts_at: "2030-01-01T19:00:00Z", status: "scheduled" } as const;
const at = (time: string) => Date.parse(`2030-01-01T${time}Z`);

it("A showing is sold until so many minutes after its start, to the millisecond", () => {
  expect(isOnSale(showing, 15, at("19:14:59.999"))).toBe(true);
  expect(isOnSale(showing, 15, at("19:15:00"))).toBe(false);
  expect(isOnSale(showing, 0, at("18:59:59.999"))).toBe(true);
  expect(isOnSale(showing, 0, at("19:00:00"))).toBe(false);
});

it("One that is cancelled is not sold", () => {
  expect(isOnSale({ ...showing, status: "cancelled" }, 15, at("18:00:00"))).toBe(false);
});
