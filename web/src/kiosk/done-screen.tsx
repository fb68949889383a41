/** The number that somebody came for. */

import { cents } from "../core/money";
import { priceText } from "../shared/language";
import { LanguageSwitch } from "../shared/language-switch";
import { Ticket } from "../shared/ticket";
import { Heading } from "./heading";
import type { Kiosk } from "./kiosk";
import { texts } from "./texts";

export function DoneScreen({ kiosk }: { kiosk: Kiosk }) {
  const said = texts.value;
  const cinema = kiosk.box.cinema.value;
  const confirmation = kiosk.order.value?.confirmation.value ?? null;
  if (cinema === null || confirmation === null) return <main class="screen" />;
  const { key, status, total, currency } = confirmation;
  const ticket = kiosk.ticket.value;
  const isBooked = status === "confirmed";
  const seats = kiosk.seats.value.length > 0 ? kiosk.seats.value : ticket?.seats;
  const showing = kiosk.showing.value ?? ticket?.showing;
  const seconds = Math.ceil(kiosk.leavesIn.value / 1000);
  return (
    <main class="screen done">
      <div class="screen-bar">
        <p class="cinema-name display">{cinema.name}</p>
        <LanguageSwitch />
      </div>
      <header class="stack">
        <Heading>{isBooked ? said.booked : said.cancelled}</Heading>
        <p class="done-pay">
          {isBooked
            ? total !== undefined && said.payAtDesk(priceText(cents(total), currency ?? cinema.currency))
            : said.cancelledMore}
        </p>
      </header>
      <Ticket cinema={cinema} confirmation={confirmation} showing={showing} seats={seats}>
        {isBooked && key !== undefined && <p class="done-scan soft">{said.scan}</p>}
      </Ticket>
      <div class="done-foot">
        <p class="soft figures" role="timer" aria-live="off">
          {said.leavesIn(seconds)}
        </p>
        <button class="button main huge" type="button" onClick={() => kiosk.leave()}>
          {said.done}
        </button>
      </div>
    </main>
  );
}
