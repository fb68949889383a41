/** Bookings that are under way while something else is looked at, and what became of them: on every view, above it. */

import { useEffect, useState } from "preact/hooks";
import type { Order } from "../box/order";
import type { Seat } from "../box/wire";
import { inLanguage } from "../shared/language";
import { lossText } from "../shared/losses";
import { refusalText } from "../shared/refusals";
import { addressOf } from "./address";
import { remembered } from "./known";
import { box, orders } from "./page";
import { UnderWay } from "./under-way";

const texts = inLanguage({
  en: {
    done: (number: string) => `Your earlier booking went through. Its number is ${number}.`,
    cancelled: "Your earlier booking has since been cancelled.",
    ticket: "See the ticket",
    failed: "Your earlier booking didn’t go through.",
    again: "Choose again",
    ok: "OK",
  },
  nl: {
    done: (number: string) => `Je eerdere boeking is gelukt. Het nummer is ${number}.`,
    cancelled: "Je eerdere boeking is intussen geannuleerd.",
    ticket: "Bekijk het kaartje",
    failed: "Je eerdere boeking is niet gelukt.",
    again: "Opnieuw kiezen",
    ok: "Oké",
  },
});

export function Background() {
  return (
    <>
      {orders.background.value.map((order) => (
        <One key={order.id} order={order} />
      ))}
    </>
  );
}

function One({ order }: { order: Order }) {
  const showing = box.showings.value?.find(({ showing_id }) => showing_id === order.showingId);
  const seats = useSeats(order.showingId);
  const confirmation = order.confirmation.value;
  const said = texts.value;
  if (order.stage.value === "booking") {
    return (
      <div class="wide background">
        <UnderWay order={order} showing={showing} seats={seats} />
      </div>
    );
  }
  if (confirmation !== null && confirmation.key !== undefined) {
    remembered.set(confirmation.booking_id, {
      confirmation,
      showing,
      seats: seats.filter(({ seat_id }) => confirmation.seat_ids.includes(seat_id)),
    });
  }
  const loss = order.loss.value;
  const refusal = order.refusal.value;
  return (
    <div class="wide background" role="alert">
      {confirmation !== null ? (
        <div class="notice">
          <p>{confirmation.status === "cancelled" ? said.cancelled : said.done(confirmation.number ?? "")}</p>
          {confirmation.key !== undefined && (
            <a
              class="button small"
              href={addressOf.booking(confirmation.booking_id, confirmation.key)}
              onClick={() => orders.forget(order)}
            >
              {said.ticket}
            </a>
          )}
          <button class="button small" type="button" onClick={() => orders.forget(order)}>
            {said.ok}
          </button>
        </div>
      ) : (
        <div class="notice bad">
          <p>
            {said.failed} {loss !== null ? lossText(loss, seats) : refusal !== null ? refusalText(refusal) : ""}
          </p>
          {showing !== undefined && (
            <a class="button small" href={addressOf.showing(order.showingId)}>
              {said.again}
            </a>
          )}
          <button class="button small" type="button" onClick={() => orders.forget(order)}>
            {said.ok}
          </button>
        </div>
      )}
    </div>
  );
}

/** The seats of a showing that is not looked at; none while nobody answers. */
function useSeats(showingId: string): readonly Seat[] {
  const [seats, setSeats] = useState<readonly Seat[]>([]);
  const renewed = box.renewed.value;
  useEffect(() => {
    box.http.seats(showingId).then(
      (plan) => setSeats(plan.seats),
      () => {},
    );
  }, [showingId, renewed]);
  return seats;
}
