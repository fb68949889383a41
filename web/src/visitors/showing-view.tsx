/** A showing: its room, live, and the seats that somebody chooses in it. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Order } from "../box/order";
import type { Seat, Showing } from "../box/wire";
import { dayOf } from "../core/days";
import { Dialog } from "../shared/dialog";
import { dayText, inLanguage, timeText } from "../shared/language";
import { fullDayText } from "../shared/near";
import { SeatPlan } from "../shared/seat-plan";
import { seatsText } from "../shared/seats";
import { addressOf } from "./address";
import { Basket } from "./basket";
import { Fullness } from "./fullness";
import { Heading } from "./heading";
import { remembered } from "./known";
import { box, isOnSale, mine, orders, timezone, useNow } from "./page";
import { go } from "./route";
import { UnderWay } from "./under-way";
import { type Way, WhoAreYou, wayTitle } from "./who-are-you";

const texts = inLanguage({
  en: {
    back: "What’s on",
    loading: "Fetching the showing…",
    gone: "This showing is no longer on the programme",
    goneMore: "It is over or has been cancelled.",
    cancelled: "This showing has been cancelled. All bookings for it have been cancelled too.",
    moved: (day: string, time: string, room: string) =>
      `This showing has moved: it is now on ${day} at ${time}, ${room}.`,
    closed: "Sales for this showing have closed. Ask at the desk if there are any seats left.",
    soldOut: "This showing is sold out. If a seat becomes free, it lights up here.",
    atMost: (seats: string) => `You can book up to ${seats} at a time. Coming with a larger group? Ask at the desk.`,
    mine: (seats: string) => `You’ve already booked ${seats} for this showing.`,
  },
  nl: {
    back: "Programma",
    loading: "De voorstelling wordt opgehaald…",
    gone: "Deze voorstelling staat niet meer op het programma",
    goneMore: "De voorstelling is voorbij of afgelast.",
    cancelled: "Deze voorstelling is afgelast. Alle boekingen ervoor zijn geannuleerd.",
    moved: (day: string, time: string, room: string) =>
      `Deze voorstelling is verplaatst: nu op ${day} om ${time} uur, ${room}.`,
    closed: "De verkoop voor deze voorstelling is gesloten. Vraag aan de kassa of er nog stoelen zijn.",
    soldOut: "Deze voorstelling is uitverkocht. Komt er een stoel vrij, dan licht die hier vanzelf op.",
    atMost: (seats: string) =>
      `Je kunt maximaal ${seats} tegelijk boeken. Kom je met een grotere groep? Vraag het aan de kassa.`,
    mine: (seats: string) => `Je hebt voor deze voorstelling al ${seats} geboekt.`,
  },
});

export function ShowingView({ showingId }: { showingId: string }) {
  const { showing, isCancelled, moved } = useShowing(showingId);
  useEffect(() => {
    box.watch(showingId);
    return () => box.watch(null);
  }, [showingId]);
  const said = texts.value;
  if (showing === null) {
    const isGone = box.showings.value !== null;
    return (
      <div class="wide showing-view">
        <Back />
        <Heading key={String(isGone)} title={isGone ? said.gone : said.loading}>
          {isGone ? said.gone : <span class="unseen">{said.loading}</span>}
        </Heading>
        {isGone ? <p class="soft">{said.goneMore}</p> : <div class="skeleton plan-skeleton" aria-busy="true" />}
      </div>
    );
  }
  return (
    <div class="wide showing-view">
      <Back />
      <Head showing={showing} isCancelled={isCancelled} />
      <div role="alert">
        {isCancelled && <p class="notice bad">{said.cancelled}</p>}
        {!isCancelled && moved && (
          <p class="notice">
            {said.moved(dayText(showing.starts_at, timezone()), timeText(showing.starts_at, timezone()), showing.room)}
          </p>
        )}
      </div>
      {!isCancelled && <Room showing={showing} />}
    </div>
  );
}

/** The showing as it is, or as it was when it went, and what happened to it while somebody looked. */
function useShowing(showingId: string) {
  const listed = box.showings.value?.find((showing) => showing.showing_id === showingId) ?? null;
  const last = useRef<Showing | null>(null);
  const first = useRef<Showing | null>(null);
  if (listed !== null) {
    last.current = listed;
    first.current ??= listed;
  }
  const [moved, setMoved] = useState(false);
  const place = listed === null ? null : `${listed.starts_at} ${listed.room_id}`;
  useEffect(() => {
    const before = first.current;
    if (listed !== null && before !== null && place !== `${before.starts_at} ${before.room_id}`) setMoved(true);
  }, [place]);
  const known = last.current;
  const isCancelled = listed === null && known !== null && box.now() < Date.parse(known.ends_at);
  return { showing: known, isCancelled, moved };
}

function Back() {
  return (
    <p>
      <a class="back" href={addressOf.programme}>
        <span aria-hidden="true">←</span> {texts.value.back}
      </a>
    </p>
  );
}

function Head({ showing, isCancelled }: { showing: Showing; isCancelled: boolean }) {
  const now = useNow();
  const zone = timezone();
  return (
    <header class="showing-head">
      <p class="eyebrow">{fullDayText(dayOf(Date.parse(showing.starts_at), zone), now, zone)}</p>
      <Heading title={showing.title} />
      <p class="showing-facts figures">
        <span>
          {timeText(showing.starts_at, zone)}–{timeText(showing.ends_at, zone)}
        </span>
        <span>{showing.room}</span>
        {!isCancelled && <Fullness showing={showing} />}
      </p>
    </header>
  );
}

function Room({ showing }: { showing: Showing }) {
  const now = useNow();
  const userId = box.session.value?.user.user_id ?? null;
  const order = useOrder(showing.showing_id, userId);
  const [wish, setWish] = useState<Seat | null>(null);
  const [way, setWay] = useState<Way>("visit");
  const [isTooMany, setTooMany] = useState(false);
  const plan = box.plan.value;
  const said = texts.value;
  const stage = order?.stage.value ?? "choosing";
  const canBook = isOnSale(showing, now);
  const most = box.cinema.value?.booking.max_seats ?? 10;

  useDone(order, showing);

  const choose = (seat: Seat) => {
    if (order === null) {
      setWay("visit");
      setWish(seat);
      return;
    }
    if (stage !== "choosing") return;
    const isChosen = order.seats.value.includes(seat.seat_id);
    setTooMany(!isChosen && order.seats.value.length >= most);
    if (!isChosen && order.seats.value.length >= most) return;
    order.forgive();
    order.toggle(seat.seat_id);
  };

  // The seat for which somebody said who they are.
  useEffect(() => {
    if (order === null || wish === null) return;
    setWish(null);
    if (!order.seats.value.includes(wish.seat_id)) order.toggle(wish.seat_id);
  }, [order, wish]);

  const chosen = useMemo(() => new Set(order?.seats.value ?? []), [order?.seats.value]);
  const hasOrder = chosen.size > 0 || (order !== null && (order.loss.value !== null || order.refusal.value !== null));
  const bookedSeats = useMemo(
    () =>
      new Set(
        (mine.list.value ?? [])
          .filter(({ status, showing: { showing_id } }) => status === "confirmed" && showing_id === showing.showing_id)
          .flatMap(({ seat_ids }) => seat_ids),
      ),
    [mine.list.value, showing.showing_id],
  );

  return (
    <div class="showing-room">
      <div class="showing-plan">
        {!canBook && <p class="notice quiet">{said.closed}</p>}
        {canBook && showing.seats_available === 0 && chosen.size === 0 && <p class="notice quiet">{said.soldOut}</p>}
        {bookedSeats.size > 0 && <p class="notice quiet">{said.mine(seatsText(bookedSeats.size))}</p>}
        {plan === null || plan.seats.length === 0 ? (
          <div class="skeleton plan-skeleton" aria-busy="true" />
        ) : (
          <SeatPlan
            seats={plan.seats}
            prices={showing}
            chosen={chosen}
            kept={order?.kept.value ?? NOTHING}
            mine={bookedSeats}
            onSeat={canBook && stage === "choosing" ? choose : undefined}
          />
        )}
      </div>
      {canBook && stage === "choosing" && (showing.seats_available > 0 || hasOrder) && (
        <Basket
          order={order}
          showing={showing}
          seats={plan?.seats ?? []}
          notice={isTooMany && chosen.size >= most ? said.atMost(seatsText(most)) : null}
        />
      )}
      {order !== null && stage === "booking" && (
        <UnderWay order={order} showing={showing} seats={plan?.seats ?? []} isFocused />
      )}
      {wish !== null && order === null && (
        <Dialog title={wayTitle(way)} onClose={() => setWish(null)}>
          <WhoAreYou way={way} onWay={setWay} />
        </Dialog>
      )}
    </div>
  );
}

const NOTHING: ReadonlySet<string> = new Set();

/** The order for this showing by whoever is signed in; null for a guest. */
function useOrder(showingId: string, userId: string | null): Order | null {
  const [order, setOrder] = useState<Order | null>(null);
  useEffect(() => {
    if (userId === null) return;
    const entered = orders.enter(showingId);
    setOrder(entered);
    return () => {
      setOrder(null);
      orders.leave(entered);
    };
  }, [showingId, userId]);
  return order;
}

/** Once it is booked there is a ticket to see, with an address of its own. */
function useDone(order: Order | null, showing: Showing): void {
  const confirmation = order?.confirmation.value ?? null;
  useEffect(() => {
    if (confirmation?.key === undefined) return;
    const seats = box.plan.peek()?.seats.filter(({ seat_id }) => confirmation.seat_ids.includes(seat_id));
    remembered.set(confirmation.booking_id, { confirmation, showing, seats, isNew: true });
    go(addressOf.booking(confirmation.booking_id, confirmation.key), { instead: true });
  }, [confirmation, showing]);
}
