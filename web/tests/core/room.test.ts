import { describe, expect, it } from "vitest";
import type { Seat } from "../../src/box/wire";
import { price, priceOf, total } from "../../src/core/money";
import { roomOf, seatNames, seatTowards } from "../../src/core/room";

const seat = (row: string, number: number, x: number, y: number, type = "standard"): Seat => ({
  seat_id: `${row}${number}`,
  row,
  number,
  type,
  x,
  y,
  status: "available",
});

// Two rows: the first is further in and has an aisle in its middle.
const A1 = seat("A", 1, 2, 0);
const A2 = seat("A", 2, 4, 0);
const B1 = seat("B", 1, 0, 1);
const B2 = seat("B", 2, 1, 1);
const B3 = seat("B", 3, 4, 1, "premium");
const room = roomOf([B2, B1, A2, B3, A1]);

describe("a room", () => {
  it("has its rows from the screen backwards, and its seats from left to right", () => {
    expect(room.rows.map((row) => [row.name, seatNames(row.seats)])).toEqual([
      ["A", "A1, A2"],
      ["B", "B1, B2, B3"],
    ]);
    expect([room.width, room.depth]).toEqual([5, 2]);
  });

  it("is walked through by the keyboard, over aisles and to the nearest of the next row", () => {
    const walk = (from: Seat, ...way: Parameters<typeof seatTowards>[2][]) =>
      way.reduce((at, direction) => seatTowards(room, at, direction), from).seat_id;
    expect(walk(A1, "ArrowRight")).toBe("A2");
    expect(walk(A2, "ArrowDown")).toBe("B3");
    expect(walk(A1, "ArrowDown")).toBe("B2");
    expect(walk(B1, "ArrowUp")).toBe("A1");
    expect(walk(B1, "End")).toBe("B3");
    expect(walk(B3, "Home")).toBe("B1");
  });

  it("has walls", () => {
    expect(seatTowards(room, A2, "ArrowRight")).toBe(A2);
    expect(seatTowards(room, A1, "ArrowLeft")).toBe(A1);
    expect(seatTowards(room, A1, "ArrowUp")).toBe(A1);
    expect(seatTowards(room, B1, "ArrowDown")).toBe(B1);
  });

  it("may be empty", () => {
    expect(roomOf([])).toEqual({ rows: [], width: 0, depth: 0 });
  });
});

describe("prices", () => {
  const showing = { price: "9.50", prices: { premium: "12.05" } };

  it("are those of the seat's type, else the showing's, summed in whole cents", () => {
    expect(priceOf(showing, B3)).toBe(1205);
    expect(priceOf(showing, A1)).toBe(950);
    expect(priceOf(showing, { type: "constructor" })).toBe(950);
    expect(total(showing, [A1, A2, B3])).toBe(3105);
    expect(priceOf({ price: "19.99", prices: {} }, A1)).toBe(1999);
  });

  it("are written in the reader's way", () => {
    expect(price(1205, "EUR", "en")).toBe("€12.05");
    expect(price(1205, "EUR", "nl")).toBe("€\u00a012,05");
  });
});
