/** The room, and what somebody has chosen in it. */

import type { Order } from "../box/order";
import type { Cinema, Showing } from "../box/wire";
import { priceOf, total } from "../core/money";
import { roomOf } from "../core/room";
import { Countdown } from "../shared/countdown";
import { capitalised, dayText, priceText, timeText } from "../shared/language";
import { LanguageSwitch } from "../shared/language-switch";
import { lossText } from "../shared/losses";
import { refusalText } from "../shared/refusals";
import { SeatPlan } from "../shared/seat-plan";
import { seatText } from "../shared/seats";
import { Heading } from "./heading";
import type { Kiosk } from "./kiosk";
import { Message } from "./message";
import { isLong } from "./programme";
import { texts } from "./texts";

export function SeatsScreen({ kiosk }: { kiosk: Kiosk }) {
  const { box } = kiosk;
  const [order, showing, cinema] = [kiosk.order.value, kiosk.showing.value, box.cinema.value];
  const said = texts.value;
  if (!kiosk.isOnSale.value) {
    return (
      <main class="screen">
        <Message heading={said.notOnSale} text={said.notOnSaleMore}>
          <button class="button main" type="button" onClick={() => kiosk.leave()}>
            {said.backToFilms}
          </button>
        </Message>
      </main>
    );
  }
  if (order === null || showing === null || cinema === null) return <main class="screen" />;
  const plan = box.plan.value;
  return (
    <main class="screen seats">
      <div class="screen-bar">
        <button class="button" type="button" onClick={() => kiosk.leave()}>
          {said.startOver}
        </button>
        <LanguageSwitch />
      </div>
      <header class="seats-head" data-long={isLong(showing.title) ? "" : undefined}>
        <Heading>{showing.title}</Heading>
        <p class="seats-when soft figures">
          {capitalised(dayText(showing.starts_at, cinema.timezone))} · {timeText(showing.starts_at, cinema.timezone)} ·{" "}
          {showing.room}
        </p>
      </header>
      <section class="seats-room" style={{ "--rows": Math.max(1, roomOf(plan?.seats ?? []).depth) }}>
        <p class="seats-hint">{said.chooseSeats}</p>
        {plan === null || plan.seats.length === 0 ? (
          <div class="skeleton seats-waiting" role="status" aria-label={said.loading} />
        ) : (
          <SeatPlan
            seats={plan.seats}
            prices={showing}
            chosen={new Set(order.seats.value)}
            kept={order.kept.value}
            onSeat={(seat) => kiosk.toggle(seat.seat_id)}
          />
        )}
      </section>
      <Choice kiosk={kiosk} order={order} showing={showing} cinema={cinema} />
    </main>
  );
}

interface ChoiceProps {
  kiosk: Kiosk;
  order: Order;
  showing: Showing;
  cinema: Cinema;
}

function Choice({ kiosk, order, showing, cinema }: ChoiceProps) {
  const said = texts.value;
  const seats = kiosk.seats.value;
  const isEmpty = seats.length === 0;
  const currency = showing.currency ?? cinema.currency;
  const until = order.expiresAt.value;
  return (
    <section class="choice" aria-labelledby="choice">
      <Trouble kiosk={kiosk} order={order} />
      <div class="choice-head">
        <h2 id="choice">{said.yourSeats}</h2>
        {until !== null && (
          <p class="choice-kept soft">
            {said.keptFor} <Countdown box={kiosk.box} until={until} warning={said.warning} />
          </p>
        )}
      </div>
      {isEmpty ? (
        <p class="choice-none soft">{said.noSeats}</p>
      ) : (
        <ul class="choice-seats">
          {seats.map((seat) => (
            <li key={seat.seat_id}>
              {seatText(seat)} <span class="soft figures">{priceText(priceOf(showing, seat), currency)}</span>
            </li>
          ))}
        </ul>
      )}
      <div class="choice-foot">
        <p class="choice-total" aria-live="polite">
          <span class="soft">{said.total}</span>{" "}
          <strong class="display figures">{priceText(total(showing, seats), currency)}</strong>
        </p>
        <button class="button main huge" type="button" disabled={isEmpty} onClick={() => kiosk.goOn()}>
          {said.book}
        </button>
      </div>
    </section>
  );
}

/** What did not go as somebody wished, until they have read it or touched the next seat. */
function Trouble({ kiosk, order }: { kiosk: Kiosk; order: Order }) {
  const [loss, refusal] = [order.loss.value, order.refusal.value];
  const text =
    loss !== null ? lossText(loss, kiosk.box.plan.value?.seats ?? []) : refusal !== null ? refusalText(refusal) : null;
  return (
    <div role="alert">
      {text !== null && (
        <div class="notice bad">
          <p>{text}</p>
          {loss !== null && (
            <button class="button" type="button" onClick={() => order.forgive()}>
              {texts.value.fine}
            </button>
          )}
        </div>
      )}
    </div>
  );
}
