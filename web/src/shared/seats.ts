/** Seats in words. */

import { fullness } from "../core/fullness";
import { counted, inLanguage } from "./language";

const texts = inLanguage({
  en: {
    types: { standard: "standard", premium: "premium", wheelchair: "wheelchair space" } as Record<string, string>,
    seat: (row: string, number: number) => `Row ${row} seat ${number}`,
    seats: { one: "# seat", other: "# seats" },
    left: { one: "Last seat", other: "# seats left" },
    last: { one: "Last seat", other: "Last # seats" },
    soldOut: "Sold out",
  },
  nl: {
    types: { standard: "standaard", premium: "premium", wheelchair: "rolstoelplaats" },
    seat: (row: string, number: number) => `Rij ${row} stoel ${number}`,
    seats: { one: "# stoel", other: "# stoelen" },
    left: { one: "Laatste stoel", other: "Nog # stoelen" },
    last: { one: "Laatste stoel", other: "Laatste # stoelen" },
    soldOut: "Uitverkocht",
  },
});

/** “premium”; a type that only this cinema knows goes by its own name. */
export const seatTypeText = (type: string): string =>
  (Object.hasOwn(texts.value.types, type) ? texts.value.types[type] : undefined) ?? type;

/** “Row C seat 7”. */
export const seatText = (seat: { row: string; number: number }): string => texts.value.seat(seat.row, seat.number);

/** “3 seats”. */
export const seatsText = (count: number): string => counted(count, texts.value.seats);

/** How full a showing is: “96 seats left”, “Last 3 seats”, “Sold out”. */
export function seatsLeftText(showing: { seats_available: number; seats_total: number }): string {
  const full = fullness(showing);
  if (full === "sold out") return texts.value.soldOut;
  return counted(showing.seats_available, full === "last seats" ? texts.value.last : texts.value.left);
}
