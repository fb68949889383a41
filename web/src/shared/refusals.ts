/** What the box's codes mean to somebody who reads them: a kind sentence for each (protocol.md, Answers). */

import { RefusedError, UnreachableError } from "../box/http";
import { inLanguage } from "./language";

const texts = inLanguage({
  en: {
    codes: {
      seats_unavailable: "One of these seats has just gone to somebody else.",
      too_many_seats: "That’s more seats than you can book here. Coming with a larger group? Ask at the desk.",
      sales_closed: "Sorry, that is no longer possible for this showing.",
      unknown_showing: "This showing is no longer on the programme.",
      unknown_seat: "This seat is no longer in the room. Please choose another.",
      unknown_booking: "We can’t find this booking.",
      unknown_user: "We can’t find this person.",
      forbidden: "That isn’t possible with this account.",
      unauthorized: "You are not signed in any more. Please sign in again.",
      conflict: "That clashes with something that is already there. Please check it and try again.",
      rate_limited: "That was a little too much at once. Please try again later, or ask at the desk.",
      storage_unavailable: "We can’t save bookings right now. We’ll keep trying.",
      unavailable: "It’s very busy right now. Please try again in a moment.",
      invalid_json: "Something went wrong on our side. Please reload the page.",
      invalid_request: "Something isn’t quite right. Please check what you filled in.",
      too_large: "That is too much at once.",
      dropped: "That could not be sent.",
    } as Record<string, string>,
    other: "That didn’t work. Please try again.",
    unreachable: "There’s no connection right now. Please check your internet and try again.",
  },
  nl: {
    codes: {
      seats_unavailable: "Een van deze stoelen is net door iemand anders gekozen.",
      too_many_seats: "Zoveel stoelen kun je hier niet boeken. Kom je met een grotere groep? Vraag het aan de kassa.",
      sales_closed: "Helaas, dat kan bij deze voorstelling niet meer.",
      unknown_showing: "Deze voorstelling staat niet meer op het programma.",
      unknown_seat: "Deze stoel staat niet meer in de zaal. Kies een andere.",
      unknown_booking: "We kunnen deze boeking niet vinden.",
      unknown_user: "We kunnen deze persoon niet vinden.",
      forbidden: "Dat kan niet met dit account.",
      unauthorized: "Je bent niet meer ingelogd. Log opnieuw in.",
      conflict: "Dat botst met iets wat er al is. Kijk het even na en probeer het opnieuw.",
      rate_limited: "Dat was even te veel achter elkaar. Probeer het later opnieuw, of vraag het aan de kassa.",
      storage_unavailable: "We kunnen boekingen nu even niet opslaan. We blijven het proberen.",
      unavailable: "Het is hier nu erg druk. Probeer het zo nog eens.",
      invalid_json: "Er ging bij ons iets mis. Laad de pagina opnieuw.",
      invalid_request: "Er klopt iets niet. Kijk even na wat je hebt ingevuld.",
      too_large: "Dat is te veel in één keer.",
      dropped: "Dat kon niet worden verstuurd.",
    },
    other: "Dat is niet gelukt. Probeer het opnieuw.",
    unreachable: "Er is even geen verbinding. Controleer je internet en probeer het opnieuw.",
  },
});

/** The sentence for a code, in the reader's language. */
export function refusalText(code: string): string {
  return texts.value.codes[code] ?? texts.value.other;
}

/** The sentence for what a call to the box raised. */
export function failureText(error: unknown): string {
  if (error instanceof RefusedError) return refusalText(error.code);
  if (error instanceof UnreachableError) return texts.value.unreachable;
  return texts.value.other;
}
