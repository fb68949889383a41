/** The seats that somebody has chosen: how long they are kept, what they cost, and the button that books them. */

import { useRef } from "preact/hooks";
import type { Order } from "../box/order";
import type { Seat, Showing } from "../box/wire";
import { priceOf, total } from "../core/money";
import { seatNames } from "../core/room";
import { Countdown } from "../shared/countdown";
import { counted, inLanguage, priceText } from "../shared/language";
import { lossText } from "../shared/losses";
import { refusalText } from "../shared/refusals";
import { seatsText, seatText, seatTypeText } from "../shared/seats";
import { box } from "./page";

const texts = inLanguage({
  en: {
    title: "Your seats",
    empty: "Choose your seats on the plan.",
    emptyMore: (time: string) => `We’ll keep them for ${time} while you decide.`,
    minutes: { one: "a minute", other: "# minutes" },
    keptFor: "Kept for you:",
    asking: "Getting your seats…",
    waiting: "We’ll get them as soon as the connection is back.",
    warning: "Your seats are kept for one more minute.",
    remove: (seat: string) => `Remove ${seat}`,
    clear: "Remove all",
    total: "Total",
    book: (seats: string, cost: string) => `Book ${seats} for ${cost}`,
    pay: "You pay at the desk.",
    ok: "OK",
  },
  nl: {
    title: "Je stoelen",
    empty: "Kies je stoelen op de plattegrond.",
    emptyMore: (time: string) => `We houden ze ${time} voor je vast terwijl je beslist.`,
    minutes: { one: "een minuut", other: "# minuten" },
    keptFor: "Voor je vastgehouden:",
    asking: "We leggen je stoelen vast…",
    waiting: "We leggen ze vast zodra de verbinding terug is.",
    warning: "Je stoelen worden nog één minuut vastgehouden.",
    remove: (seat: string) => `${seat} verwijderen`,
    clear: "Alles verwijderen",
    total: "Totaal",
    book: (seats: string, cost: string) => `Boek ${seats} voor ${cost}`,
    pay: "Je betaalt aan de kassa.",
    ok: "Oké",
  },
});

export interface BasketProps {
  /** Null for a guest. */
  order: Order | null;
  showing: Showing;
  seats: readonly Seat[];
  /** What must be said about the choice. */
  notice: string | null;
}

export function Basket({ order, showing, seats, notice }: BasketProps) {
  const said = texts.value;
  const heading = useRef<HTMLHeadingElement>(null);
  /** What is pressed goes with this; the focus must not go with it. */
  const away = (what: () => void) => () => {
    heading.current?.focus({ preventScroll: true });
    what();
  };
  const ids = order?.seats.value ?? [];
  const chosen = ids.flatMap((id) => seats.find((seat) => seat.seat_id === id) ?? []);
  const refusal = order?.refusal.value ?? null;
  const loss = order?.loss.value ?? null;
  const holdMinutes = Math.max(1, Math.round((box.cinema.value?.booking.hold_seconds ?? 300) / 60));
  return (
    <section class="basket card" aria-labelledby="basket-title" data-empty={ids.length === 0 ? "" : undefined}>
      <h2 id="basket-title" ref={heading} tabIndex={-1}>
        {said.title}
      </h2>
      {order === null || ids.length === 0 ? (
        <div class="basket-empty">
          <p>{said.empty}</p>
          <p class="soft small">{said.emptyMore(counted(holdMinutes, said.minutes))}</p>
        </div>
      ) : (
        <>
          <ul class="basket-seats lines">
            {chosen.map((seat) => (
              <li key={seat.seat_id}>
                <span>
                  {seatText(seat)}
                  {seat.type !== "standard" && <span class="soft small"> {seatTypeText(seat.type)}</span>}
                </span>
                <span class="figures">{priceText(priceOf(showing, seat), showing.currency)}</span>
                <button
                  class="close"
                  type="button"
                  aria-label={said.remove(seatText(seat))}
                  onClick={away(() => order.toggle(seat.seat_id))}
                >
                  <svg viewBox="0 0 24 24" width="16" height="16" aria-hidden="true">
                    <path d="M5 5l14 14M19 5 5 19" stroke="currentColor" stroke-width="2" stroke-linecap="round" />
                  </svg>
                </button>
              </li>
            ))}
          </ul>
          <p class="basket-total">
            <span>{said.total}</span>
            <strong class="figures">{priceText(total(showing, chosen), showing.currency)}</strong>
          </p>
          <div class="basket-clear row apart">
            <span class="soft small">{said.pay}</span>
            <button class="button bare small" type="button" onClick={away(() => order.clear())}>
              {said.clear}
            </button>
          </div>
        </>
      )}
      <div class="basket-bar">
        <div role="alert" class="basket-says stack tight">
          {loss !== null && (
            <div class="notice">
              <p>{lossText(loss, seats)}</p>
              <button class="button small" type="button" onClick={away(() => order?.forgive())}>
                {said.ok}
              </button>
            </div>
          )}
          {refusal !== null && <p class="notice bad">{refusalText(refusal)}</p>}
          {notice !== null && <p class="notice">{notice}</p>}
        </div>
        {order !== null && ids.length > 0 && (
          <div class="basket-foot">
            <Kept order={order} names={seatNames(chosen)} />
            <button class="button main wide-button" type="button" onClick={() => void order.book()}>
              {said.book(seatsText(ids.length), priceText(total(showing, chosen), showing.currency))}
            </button>
          </div>
        )}
      </div>
    </section>
  );
}

function Kept({ order, names }: { order: Order; names: string }) {
  const said = texts.value;
  const until = order.expiresAt.value;
  const isAnswering = box.link.value !== "reconnecting";
  return (
    <p class="basket-kept small">
      <span class="basket-names">{names}</span>
      {until === null || !order.isSettled.value ? (
        <span class="soft">{isAnswering ? said.asking : said.waiting}</span>
      ) : (
        <span class="soft">
          {said.keptFor} <Countdown box={box} until={until} warning={said.warning} />
        </span>
      )}
    </p>
  );
}
