/** A room as it is drawn and walked through by the keyboard: rows from the screen backwards, seats from left to right. */

import type { Seat } from "../box/wire";

export interface Row {
  name: string;
  y: number;
  seats: readonly Seat[];
}

export interface Room {
  rows: readonly Row[];
  /** How many places wide it is, and how many rows deep. */
  width: number;
  depth: number;
}

export function roomOf(seats: readonly Seat[]): Room {
  const byY = new Map<number, Seat[]>();
  for (const seat of seats) byY.set(seat.y, [...(byY.get(seat.y) ?? []), seat]);
  const rows = [...byY]
    .sort(([one], [other]) => one - other)
    .map(([y, row]) => ({ y, name: row[0]?.row ?? "", seats: row.sort((one, other) => one.x - other.x) }));
  return {
    rows,
    width: Math.max(0, ...seats.map((seat) => seat.x + 1)),
    depth: Math.max(0, ...seats.map((seat) => seat.y + 1)),
  };
}

export type Direction = "ArrowLeft" | "ArrowRight" | "ArrowUp" | "ArrowDown" | "Home" | "End";

/** The seat that a key leads to from another: along the row, or to the nearest of the next row. Where nothing lies in
 * that direction one stays. */
export function seatTowards(room: Room, from: Seat, direction: Direction): Seat {
  const index = room.rows.findIndex((row) => row.y === from.y);
  const row = room.rows[index]?.seats ?? [];
  const at = row.findIndex((seat) => seat.seat_id === from.seat_id);
  switch (direction) {
    case "ArrowLeft":
      return row[at - 1] ?? from;
    case "ArrowRight":
      return row[at + 1] ?? from;
    case "Home":
      return row[0] ?? from;
    case "End":
      return row.at(-1) ?? from;
    default: {
      const next = room.rows[index + (direction === "ArrowUp" ? -1 : 1)]?.seats ?? [];
      return next.reduce<Seat>(
        (best, seat) => (best === from || Math.abs(seat.x - from.x) < Math.abs(best.x - from.x) ? seat : best),
        from,
      );
    }
  }
}

/** “C7, C8, D1”: seats in room order, short. */
export function seatNames(seats: readonly Pick<Seat, "row" | "number">[]): string {
  return seats.map((seat) => `${seat.row}${seat.number}`).join(", ");
}
