/** Seats that somebody lost while they chose, in sentences that blame nobody. */

import type { Seat } from "../box/wire";
import { seatNames } from "../core/room";
import type { Loss } from "../core/selection";
import { capitalised, inLanguage } from "./language";
import { refusalText } from "./refusals";

const texts = inLanguage({
  en: {
    theSeats: "your seats",
    taken: (seats: string, isOne: boolean) =>
      `${capitalised(seats)} ${isOne ? "has" : "have"} just gone to somebody else. The plan shows what is still free.`,
    expired: (seats: string, isOne: boolean) =>
      `Your time ran out, so ${seats} ${isOne ? "is" : "are"} free again. Choose ${isOne ? "it" : "them"} again if you still can.`,
  },
  nl: {
    theSeats: "je stoelen",
    taken: (seats: string, isOne: boolean) =>
      `${capitalised(seats)} ${isOne ? "is" : "zijn"} net door iemand anders gekozen. Op de plattegrond zie je wat er nog vrij is.`,
    expired: (seats: string, isOne: boolean) =>
      `De tijd was om, dus ${seats} ${isOne ? "is" : "zijn"} weer vrij. Kies ${isOne ? "die" : "ze"} opnieuw als dat nog kan.`,
  },
});

/** What was lost and why. `seats` are all of the showing, as far as they are known. */
export function lossText(loss: Loss, seats: readonly Seat[]): string {
  if (loss.why === "refused") return refusalText(loss.code);
  const known = seats.filter((seat) => loss.seat_ids.includes(seat.seat_id));
  const names = known.length === 0 ? texts.value.theSeats : seatNames(known);
  return texts.value[loss.why](names, known.length === 1);
}
