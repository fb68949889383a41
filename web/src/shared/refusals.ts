/** What the box's codes mean to somebody who reads them: a kind sentence for each (protocol.md, Answers). */

import { RefusedError, UnreachableError } from "../box/http";
import { inLanguage } from "./language";

const texts = inLanguage({
  en: {
    codes: {
      seats_unavailable: "One of these seats has just gone to somebody else.",
      too_many_seats: "That is more seats than one booking may have. Are you coming with more? Ask at the desk.",
      sales_closed: "It is too late for that: sales for this showing have closed.",
      unknown_showing: "This showing is not on any more.",
      unknown_seat: "This seat is not in the room any more. Please choose another.",
      unknown_booking: "We cannot find this booking.",
      unknown_user: "We do not know this person.",
      forbidden: "You may not do that with this account.",
      unauthorized: "The name or password is not right.",
      conflict: "That does not go together with what is there already. Please look again.",
      rate_limited: "That was a little too fast. Please wait a moment and try again.",
      storage_unavailable: "Bookings cannot be saved at this moment. We keep trying.",
      unavailable: "The box office is busy. Please try again in a moment.",
      invalid_json: "Something went wrong on our side. Please reload the page.",
      invalid_request: "The box office did not understand that. Please check what you filled in.",
      too_large: "That is more than the box office takes at once.",
      dropped: "That was not sent.",
    } as Record<string, string>,
    other: "That did not work. Please try again.",
    unreachable: "The box office does not answer. Please check your connection and try again.",
  },
  nl: {
    codes: {
      seats_unavailable: "Een van deze stoelen is net door iemand anders gekozen.",
      too_many_seats:
        "Dat zijn meer stoelen dan er in één boeking passen. Kom je met meer mensen? Vraag het aan de kassa.",
      sales_closed: "Daarvoor is het te laat: de verkoop voor deze voorstelling is gesloten.",
      unknown_showing: "Deze voorstelling staat niet meer op het programma.",
      unknown_seat: "Deze stoel staat niet meer in de zaal. Kies een andere.",
      unknown_booking: "We kunnen deze boeking niet vinden.",
      unknown_user: "Deze persoon kennen we niet.",
      forbidden: "Dat kan niet met dit account.",
      unauthorized: "Naam of wachtwoord klopt niet.",
      conflict: "Dat gaat niet samen met wat er al is. Kijk het nog even na.",
      rate_limited: "Dat ging iets te snel. Wacht even en probeer het opnieuw.",
      storage_unavailable: "We kunnen boekingen nu even niet vastleggen. We blijven het proberen.",
      unavailable: "Het systeem heeft het druk. Probeer het zo nog eens.",
      invalid_json: "Er ging bij ons iets mis. Laad de pagina opnieuw.",
      invalid_request: "Het systeem begreep dat niet. Kijk na wat je hebt ingevuld.",
      too_large: "Dat is meer dan het systeem in één keer aanneemt.",
      dropped: "Dat is niet verstuurd.",
    },
    other: "Dat lukte niet. Probeer het opnieuw.",
    unreachable: "Het systeem antwoordt niet. Controleer je verbinding en probeer het opnieuw.",
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
