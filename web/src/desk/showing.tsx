/** One showing, live: its plan, whose each seat is, selling at the counter, and the list of its bookings. */

import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Booking, Seat, Showing } from "../box/wire";
import { dayOf } from "../core/days";
import { cents } from "../core/money";
import { isOnSale } from "../core/on-sale";
import { capitalised, counted, dayText, priceText, timeText } from "../shared/language";
import { SeatPlan } from "../shared/seat-plan";
import { seatsText, seatText, seatTypeText } from "../shared/seats";
import { BookingCard } from "./booking-card";
import { BookingList } from "./booking-list";
import { BookingTable } from "./bookings";
import { CancelShowing } from "./cancel-showing";
import { concernedBy } from "./concerned";
import { CopyEmails } from "./concerned-people";
import { useDesk } from "./context";
import { useAsked, useByClock, useOwned } from "./lasting";
import { replace, say } from "./navigation";
import { Action, Failure, Fullness, Go, Heading } from "./parts";
import { SaleCard } from "./sale";
import { narrowedTo } from "./searching";
import { texts } from "./texts";
import { stateOf } from "./today";

export interface ShowingViewProps {
  showingId: string;
  bookingId: string | null;
  isNew: boolean;
}

export function ShowingView(props: ShowingViewProps) {
  return (
    <KnownShowing showingId={props.showingId} isNew={props.isNew}>
      {(showing) => <Present key={showing.showing_id} showing={showing} {...props} />}
    </KnownShowing>
  );
}

/** What is drawn of a showing once it is known; until then, and where there is none, what that means. */
export function KnownShowing(props: {
  showingId: string;
  isNew: boolean;
  children: (showing: Showing) => ComponentChildren;
}) {
  const { box, cinema, programme } = useDesk();
  const showing = programme.find(props.showingId);
  const isMissing = showing === undefined;
  const asked = useAsked(
    () => (isMissing ? programme.lookFor(props.showingId, cinema.timezone).then(() => true) : Promise.resolve(true)),
    `${props.showingId} ${isMissing}`,
    box.renewed.value,
  );
  if (showing !== undefined) return <>{props.children(showing)}</>;
  const said = texts.value.showing;
  if (asked.value === null && asked.failure === null) return <p class="soft">{texts.value.frame.loading}</p>;
  if (asked.failure !== null) return <Failure of={asked.failure} again={asked.again} />;
  return (
    <div class="stack">
      <Heading name={said.unknown} isNew={props.isNew}>
        {said.unknown}
      </Heading>
      <p>{said.unknownMore}</p>
    </div>
  );
}

function Present({ showing, bookingId, isNew }: ShowingViewProps & { showing: Showing }) {
  const { box } = useDesk();
  const { showing_id } = showing;
  const list = useOwned(() => new BookingList(box, showing_id), showing_id);
  const state = useByClock((now) => stateOf(showing, now));
  const said = texts.value.showing;
  return (
    <div class="stack loose">
      <Head showing={showing} list={list} isNew={isNew} />
      {state === "cancelled" && <p class="notice bad">{said.cancelled}</p>}
      {state === "over" && <p class="notice quiet">{said.over}</p>}
      {state === "to come" || state === "running" ? (
        <Counter showing={showing} list={list} bookingId={bookingId} />
      ) : (
        <Past showing={showing} list={list} bookingId={bookingId} />
      )}
      <Bookings list={list} isAhead={state === "to come" || state === "running"} />
    </div>
  );
}

function Head({ showing, list, isNew }: { showing: Showing; list: BookingList; isNew: boolean }) {
  const { cinema } = useDesk();
  const [isCancelling, setCancelling] = useState(false);
  const { timezone } = cinema;
  const { showing_id, starts_at, ends_at, currency } = showing;
  const said = texts.value.showing;
  const state = useByClock((now) => stateOf(showing, now));
  const day = dayOf(Date.parse(starts_at), timezone);
  const prices = [
    priceText(cents(showing.price), currency),
    ...Object.entries(showing.prices).map(
      ([type, price]) => `${seatTypeText(type)} ${priceText(cents(price), currency)}`,
    ),
  ];
  return (
    <div class="showing-head">
      <p>
        <Go to={{ view: "today", day }}>
          <span aria-hidden="true">‹</span> {capitalised(dayText(starts_at, timezone))}
        </Go>
      </p>
      <Heading name={`${showing.title}, ${timeText(starts_at, timezone)}`} isNew={isNew}>
        {showing.title}
      </Heading>
      <p class="showing-facts figures">
        <strong>
          {capitalised(dayText(starts_at, timezone, "short"))}, {timeText(starts_at, timezone)}–
          {timeText(ends_at, timezone)}
        </strong>
        <span>{showing.room}</span>
        <span class="soft">{prices.join(" · ")}</span>
        {state !== "cancelled" && (
          <Fullness taken={showing.seats_total - showing.seats_available} all={showing.seats_total} />
        )}
      </p>
      <div class="row tight-row showing-actions">
        {state !== "cancelled" && (
          <Go class="button small" to={{ view: "change", showingId: showing_id }}>
            {said.change}
          </Go>
        )}
        <Go class="button small" to={{ view: "new", repeats: showing_id }}>
          {said.repeat}
        </Go>
        {state !== "cancelled" && state !== "over" && (
          <Action isSmall kind="bad" onClick={() => setCancelling(true)}>
            {said.cancel}…
          </Action>
        )}
      </div>
      {isCancelling && (
        <CancelShowing
          showing={showing}
          list={list}
          onClose={() => setCancelling(false)}
          onDone={() => say(said.deleted)}
        />
      )}
    </div>
  );
}

const NONE: ReadonlySet<string> = new Set();

interface CounterProps {
  showing: Showing;
  list: BookingList;
  bookingId: string | null;
}

/** The plan, and beside it what is being sold and whose a seat is. */
function Counter({ showing, list, bookingId }: CounterProps) {
  const { box, cinema, sales } = useDesk();
  const { showing_id } = showing;
  const [asked, setAsked] = useState<Seat | null>(null);
  const side = useRef<HTMLDivElement>(null);
  const said = texts.value.showing;
  useEffect(() => {
    box.watch(showing_id);
    return () => box.watch(null);
  }, [box, showing_id]);
  useEffect(() => sales.enter(showing_id), [sales, showing_id]);
  const entered = sales.current.value;
  const sale = entered?.order.showingId === showing_id ? entered : null;

  const plan = box.plan.value?.showing_id === showing_id ? box.plan.value : null;
  const isClosed = useByClock((now) => !isOnSale(showing, cinema.booking.sales_close_minutes, now));
  const order = sale?.order;
  const chosen = useMemo(() => new Set(order?.seats.value), [order?.seats.value]);
  const selected = list.bookings.value?.find(({ booking_id }) => booking_id === bookingId);
  const marked = useMemo(
    () => new Set(selected?.status === "confirmed" ? selected.seats.map(({ seat_id }) => seat_id) : []),
    [selected],
  );

  const select = (booking: Booking | null) =>
    replace({ view: "showing", showingId: showing_id, bookingId: booking?.booking_id ?? null });

  const touched = (seat: Seat) => {
    setAsked(null);
    if (chosen.has(seat.seat_id) || (seat.status === "available" && !isClosed)) {
      if (order?.stage.value === "done") sales.next(showing_id, seat.seat_id);
      else order?.toggle(seat.seat_id);
      return;
    }
    const booking = list.ofSeat(seat.seat_id);
    if (booking !== undefined) select(booking);
    else if (seat.status !== "available") {
      setAsked(seat);
      list.askSoon(0);
    }
  };

  // Whose it is was not known when it was touched, and is now.
  const found = asked === null ? undefined : list.ofSeat(asked.seat_id);
  useEffect(() => {
    if (found === undefined) return;
    setAsked(null);
    select(found);
  }, [found?.booking_id]);

  return (
    <div class="counter">
      <div class="counter-plan">
        {plan === null ? (
          <p class="soft">{said.noPlan}</p>
        ) : (
          <SeatPlan
            seats={plan.seats}
            prices={showing}
            chosen={chosen}
            kept={order?.kept.value ?? NONE}
            mine={marked}
            onSeat={touched}
            opensBooked
          />
        )}
      </div>
      {order?.stage.value === "choosing" && chosen.size > 0 && (
        <button class="button main to-sale" type="button" onClick={() => side.current?.scrollIntoView()}>
          {seatsText(chosen.size)} <span aria-hidden="true">↓</span>
        </button>
      )}
      <div class="counter-side stack" ref={side}>
        {asked !== null && (
          <p class="notice" role="status">
            {asked.status === "reserved" ? said.held(seatText(asked)) : said.lookingUp(seatText(asked))}
          </p>
        )}
        {selected !== undefined && (
          <BookingCard booking={selected} onChanged={(booking) => list.changed(booking)} onClose={() => select(null)} />
        )}
        {isClosed && order?.stage.value === "choosing" && <p class="notice quiet">{said.closed}</p>}
        {sale !== null && !(isClosed && order?.stage.value === "choosing") && (
          <SaleCard sale={sale} showing={showing} seats={plan?.seats ?? []} />
        )}
      </div>
    </div>
  );
}

/** The plan as it was when the showing ended, and whose a seat was. What was cancelled has nobody in its seats. */
function Past({ showing, list, bookingId }: CounterProps) {
  const { box } = useDesk();
  const { showing_id, status } = showing;
  const hasPlan = status !== "cancelled";
  const plan = useAsked(() => (hasPlan ? box.http.seats(showing_id) : Promise.resolve(null)), showing_id, 0);
  const selected = list.bookings.value?.find(({ booking_id }) => booking_id === bookingId);
  const marked = useMemo(() => new Set(selected?.seats.map(({ seat_id }) => seat_id)), [selected]);
  const select = (booking: Booking | undefined) =>
    replace({ view: "showing", showingId: showing_id, bookingId: booking?.booking_id ?? null });
  const card = selected !== undefined && (
    <BookingCard booking={selected} onChanged={(booking) => list.changed(booking)} onClose={() => select(undefined)} />
  );
  if (plan.value === null) return <>{card}</>;
  return (
    <div class="counter">
      <div class="counter-plan">
        <SeatPlan
          seats={plan.value.seats}
          prices={showing}
          mine={marked}
          onSeat={(seat) => select(list.ofSeat(seat.seat_id))}
          opensBooked
        />
      </div>
      <div class="counter-side stack">{card}</div>
    </div>
  );
}

function Bookings({ list, isAhead }: { list: BookingList; isAhead: boolean }) {
  const { cinema, user } = useDesk();
  const [filter, setFilter] = useState("");
  const [withCancelled, setWithCancelled] = useState(false);
  const said = texts.value.showing;
  const all = list.bookings.value;
  const confirmed = (all ?? []).filter(({ status }) => status === "confirmed");
  const cancelled = (all ?? []).length - confirmed.length;
  const sum = (bookings: readonly Booking[]) =>
    bookings.reduce((total, booking) => total + cents(booking.total ?? "0"), 0);
  const unpaid = sum(confirmed.filter(({ paid }) => paid === null));
  const shown = narrowedTo(withCancelled || confirmed.length === 0 ? (all ?? []) : confirmed, filter);
  const currency = confirmed[0]?.currency ?? cinema.currency;
  return (
    <section class="stack" aria-labelledby="bookings-title">
      <h2 id="bookings-title">{said.bookings}</h2>
      <Failure of={list.failure.value} again={() => list.askSoon(0)} />
      {all === null && list.failure.value === null && <p class="soft">{texts.value.frame.loading}</p>}
      {all !== null && confirmed.length === 0 && <p class="soft">{isAhead ? said.noBookings : said.noneLeft}</p>}
      {confirmed.length > 0 && (
        <p>
          {said.totals(
            counted(confirmed.length, texts.value.concerned.bookings),
            seatsText(confirmed.reduce((seats, booking) => seats + booking.seats.length, 0)),
            priceText(sum(confirmed), currency),
          )}
          {unpaid > 0 && <span class="soft"> · {said.unpaid(priceText(unpaid, currency))}</span>}
        </p>
      )}
      {(all ?? []).length > 0 && (
        <div class="row">
          <input
            class="input filter"
            type="search"
            aria-label={said.filter}
            placeholder={said.filter}
            value={filter}
            onInput={(event) => setFilter(event.currentTarget.value)}
          />
          {cancelled > 0 && confirmed.length > 0 && (
            <label class="check">
              <input
                type="checkbox"
                checked={withCancelled}
                onChange={(event) => setWithCancelled(event.currentTarget.checked)}
              />
              {said.withCancelled(cancelled)}
            </label>
          )}
        </div>
      )}
      {confirmed.length > 0 && <CopyEmails emails={concernedBy(confirmed, user).emails} />}
      {shown.length > 0 && (
        <BookingTable caption={said.bookings} bookings={shown} onChanged={(booking) => list.changed(booking)} />
      )}
      {(all ?? []).length > 0 && shown.length === 0 && <p class="soft">{said.nothingMatches}</p>}
    </section>
  );
}
