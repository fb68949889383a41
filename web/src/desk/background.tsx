/** Sales that are under way while something else is looked at, and what became of them: above every view. */

import { cents } from "../core/money";
import { inLanguage, priceText } from "../shared/language";
import { useLater } from "../shared/link-notice";
import { refusalText } from "../shared/refusals";
import { seatsText } from "../shared/seats";
import { useDesk } from "./context";
import { Action, Failure, Go } from "./parts";
import { addressOf } from "./route";
import type { Sale } from "./sales";
import { texts } from "./texts";

const words = inLanguage({
  en: {
    underWay: (what: string) => `The booking of ${what} is under way.`,
    done: (number: string, what: string) => `${number} has been booked: ${what}.`,
    cancelled: (number: string) => `${number} was booked and has since been cancelled.`,
    failed: (what: string) => `The booking for ${what} didn’t go through.`,
    look: "See the booking",
    again: "See the showing",
    ok: "OK",
  },
  nl: {
    underWay: (what: string) => `De boeking van ${what} is onderweg.`,
    done: (number: string, what: string) => `${number} is geboekt: ${what}.`,
    cancelled: (number: string) => `${number} was geboekt en is intussen geannuleerd.`,
    failed: (what: string) => `De boeking voor ${what} is niet gelukt.`,
    look: "Bekijk de boeking",
    again: "Bekijk de voorstelling",
    ok: "Oké",
  },
});

export function BackgroundSales() {
  const { sales } = useDesk();
  return (
    <div role="status" class="stack">
      {sales.background.value.map((sale) => (
        <One key={sale} sale={sale} />
      ))}
    </div>
  );
}

function One({ sale }: { sale: Sale }) {
  const { cinema, programme, sales } = useDesk();
  const { order } = sale;
  const { showingId } = order;
  const isBooking = order.stage.value === "booking";
  const isSlow = useLater(isBooking, 400);
  const said = words.value;
  const title = programme.find(showingId)?.title;
  const confirmation = order.confirmation.value;
  const titled = (...parts: (string | undefined)[]) => parts.filter(Boolean).join(", ");
  if (isBooking) {
    if (!isSlow) return null;
    return <p class="notice quiet">{said.underWay(titled(seatsText(order.seats.value.length), title))}</p>;
  }
  const seen = (
    <Action isSmall onClick={() => sales.forget(sale)}>
      {said.ok}
    </Action>
  );
  if (confirmation === null) {
    return (
      <div class="notice bad">
        <p>
          {said.failed(title ?? texts.value.booking.showing)} {refusalText(order.refusal.value ?? "seats_unavailable")}
        </p>
        <p class="row">
          <Go class="button small" to={{ view: "showing", showingId, bookingId: null }}>
            {said.again}
          </Go>
          {seen}
        </p>
      </div>
    );
  }
  const { booking_id, number = "", seat_ids, total, currency, status } = confirmation;
  const address = addressOf({ view: "showing", showingId, bookingId: booking_id });
  const costs = priceText(cents(total ?? "0"), currency ?? cinema.currency);
  const paid = sale.noted.value;
  return (
    <div class="notice">
      {status === "cancelled" ? (
        <p>{said.cancelled(number)}</p>
      ) : (
        <p>
          {said.done(number, titled(seatsText(seat_ids.length), title))}{" "}
          {paid !== null
            ? texts.value.sale.bookedPaid(costs, texts.value.booking.paidHow[paid])
            : !sale.isPaying.value && <strong>{texts.value.sale.bookedUnpaid(costs)}</strong>}
        </p>
      )}
      <Failure of={sale.failure.value} />
      <p class="row">
        <a class="button small" href={address} onClick={() => sales.forget(sale)}>
          {said.look}
        </a>
        {seen}
      </p>
    </div>
  );
}
