/**
 * The room, drawn to its plan and walked through by the keyboard: one tab stop, arrow keys, Home and End.
 *
 * Needs `seats` (as in `box.plan`) and the showing's prices. `chosen` are asked for, `kept` are held for whoever looks,
 * `mine` are booked already, or, at the desk, of the booking that is looked at. `onSeat` is called with a seat that can be
 * chosen or given back; with `opensBooked` (the desk) also with those that are reserved or booked by others. Without
 * `onSeat` it is a picture that can be read.
 */

import { Component } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Seat, Showing } from "../box/wire";
import { priceOf } from "../core/money";
import { type Direction, type Row, roomOf, seatTowards } from "../core/room";
import { inLanguage, language, priceText } from "./language";
import { seatText, seatTypeText } from "./seats";
import "../styles/seat-plan.css";

const texts = inLanguage({
  en: {
    plan: "Seats",
    screen: "Screen",
    row: (name: string) => `Row ${name}`,
    states: {
      available: "available",
      taken: "taken",
      reserved: "on hold",
      booked: "booked",
      chosen: "chosen, one moment",
      kept: "kept for you",
      mine: "booked by you",
    },
    legend: "Legend",
    signs: { taken: "taken", kept: "your choice", mine: "booked by you", shown: "this booking" },
    larger: "Larger",
    smaller: "Smaller",
  },
  nl: {
    plan: "Stoelen",
    screen: "Doek",
    row: (name: string) => `Rij ${name}`,
    states: {
      available: "vrij",
      taken: "bezet",
      reserved: "even vastgehouden",
      booked: "geboekt",
      chosen: "gekozen, even geduld",
      kept: "voor je vastgehouden",
      mine: "door jou geboekt",
    },
    legend: "Legenda",
    signs: { taken: "bezet", kept: "jouw keuze", mine: "door jou geboekt", shown: "deze boeking" },
    larger: "Groter",
    smaller: "Kleiner",
  },
});

type State = "available" | "taken" | "chosen" | "kept" | "mine";
type Prices = Pick<Showing, "price" | "prices" | "currency">;

const NONE: ReadonlySet<string> = new Set();
const ZOOMS = [1, 1.4, 1.8] as const;
/** From this pitch on, in pixels, a seat's number can be read on it. */
const LARGE = 32;
/** What a finger hits without aiming, in pixels (WCAG 2.5.5). */
const FINGER = 44;
const isTouched = () => matchMedia("(pointer: coarse)").matches;
/** How wide an aisle is that runs through the whole room, in places. */
const AISLE = 0.6;

export interface SeatPlanProps {
  seats: readonly Seat[];
  prices: Prices;
  chosen?: ReadonlySet<string>;
  kept?: ReadonlySet<string>;
  mine?: ReadonlySet<string>;
  onSeat?: ((seat: Seat) => void) | undefined;
  opensBooked?: boolean;
  /** What the plan is called for who cannot see it; “Seats” else. */
  label?: string;
}

export function SeatPlan(props: SeatPlanProps) {
  const { seats, prices, chosen = NONE, kept = NONE, mine = NONE, onSeat, opensBooked = false } = props;
  const room = useMemo(() => roomOf(seats), [seats]);
  const byId = useMemo(() => new Map(seats.map((seat) => [seat.seat_id, seat])), [seats]);
  const columns = useColumns(seats, room.width);
  const [focused, setFocused] = useState<string | null>(null);
  const [zoom, setZoom] = useState(0);
  const { plan, scroller, isLarge, isSmallScreen, overflows } = useMeasured(columns.places, ZOOMS[zoom] ?? 1);

  const stop =
    (focused === null ? undefined : byId.get(focused)) ??
    seats.find((seat) => chosen.has(seat.seat_id)) ??
    seats.find((seat) => seat.status === "available") ??
    seats[0];

  const isUsable = (state: State) => onSeat !== undefined && (opensBooked || (state !== "taken" && state !== "mine"));

  const touched = (event: Event) => {
    const id = (event.target as Element).closest<HTMLElement>("[data-seat]")?.dataset.seat;
    const seat = id === undefined ? undefined : byId.get(id);
    if (seat !== undefined && isUsable(stateOf(seat, chosen, kept, mine))) onSeat?.(seat);
  };

  const pressed = (event: KeyboardEvent) => {
    if (!DIRECTIONS.has(event.key) || event.altKey || event.ctrlKey || event.metaKey) return;
    const id = (event.target as HTMLElement).dataset.seat;
    const from = id === undefined ? undefined : byId.get(id);
    if (from === undefined) return;
    event.preventDefault();
    const to = seatTowards(room, from, event.key as Direction);
    setFocused(to.seat_id);
    plan.current?.querySelector<HTMLElement>(`[data-seat="${to.seat_id}"]`)?.focus();
  };

  const noted = (event: FocusEvent) => {
    const id = (event.target as HTMLElement).dataset.seat;
    if (id !== undefined) setFocused(id);
  };

  const said = texts.value;
  return (
    <div
      class="seat-plan"
      ref={plan}
      data-large={isLarge ? "" : undefined}
      data-open={opensBooked ? "" : undefined}
      style={{ "--places": columns.places, "--zoom": ZOOMS[zoom] }}
    >
      <section
        class="seat-plan-room"
        ref={scroller}
        aria-label={props.label ?? said.plan}
        tabIndex={overflows ? 0 : undefined}
      >
        {/* biome-ignore lint/a11y/noStaticElementInteractions: the buttons in it are what is used; it hears for them. */}
        <div
          class="seat-plan-grid"
          style={{ "--columns": columns.template }}
          onClick={touched}
          onKeyDown={pressed}
          onFocusIn={noted}
        >
          <div class="seat-plan-screen">{said.screen}</div>
          {room.rows.map((row) => (
            <RowOfSeats
              key={row.y}
              row={row}
              states={row.seats.map((seat) => stateOf(seat, chosen, kept, mine))}
              stop={stop?.y === row.y ? stop.seat_id : null}
              prices={prices}
              opensBooked={opensBooked}
              isPicture={onSeat === undefined}
              language={language.value}
            />
          ))}
        </div>
      </section>
      {(isSmallScreen || zoom > 0) && (
        <div class="seat-plan-zoom">
          <button class="button small" type="button" disabled={zoom === 0} onClick={() => setZoom(zoom - 1)}>
            − {said.smaller}
          </button>
          <button
            class="button small"
            type="button"
            disabled={zoom === ZOOMS.length - 1}
            onClick={() => setZoom(zoom + 1)}
          >
            + {said.larger}
          </button>
        </div>
      )}
      <Legend seats={seats} prices={prices} hasMine={mine.size > 0} opensBooked={opensBooked} />
    </div>
  );
}

const DIRECTIONS: ReadonlySet<string> = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"]);

function stateOf(seat: Seat, chosen: ReadonlySet<string>, kept: ReadonlySet<string>, mine: ReadonlySet<string>): State {
  if (mine.has(seat.seat_id)) return "mine";
  if (chosen.has(seat.seat_id)) return kept.has(seat.seat_id) ? "kept" : "chosen";
  return seat.status === "available" ? "available" : "taken";
}

/** The places from left to right. Where no row has a seat, the room's aisles run: they are drawn narrower. */
function useColumns(seats: readonly Seat[], width: number): { template: string; places: number } {
  const taken = new Set(seats.map((seat) => seat.x));
  const isAisle = Array.from({ length: width }, (_, x) => !taken.has(x));
  const key = isAisle.map(Number).join("");
  return useMemo(() => {
    const sizes = isAisle.map((is) => (is ? `calc(var(--pitch) * ${AISLE})` : "var(--pitch)"));
    const aisles = isAisle.filter(Boolean).length;
    return { template: sizes.join(" "), places: width - aisles * (1 - AISLE) };
    // `key` is all that `isAisle` says.
  }, [key]);
}

/** What depends on the space there is. */
function useMeasured(places: number, zoom: number) {
  const plan = useRef<HTMLDivElement>(null);
  const scroller = useRef<HTMLElement>(null);
  const [size, setSize] = useState({ pitch: 0, width: 0, overflows: false });
  const measure = () => {
    const room = scroller.current;
    const seat = room?.querySelector<HTMLElement>(".seat");
    if (room === null || !seat) return;
    const now = {
      pitch: seat.offsetWidth,
      width: room.clientWidth,
      overflows: room.scrollWidth > room.clientWidth + 1,
    };
    setSize((before) =>
      before.pitch === now.pitch && before.width === now.width && before.overflows === now.overflows ? before : now,
    );
  };
  useLayoutEffect(measure, [places, zoom]);
  useEffect(() => {
    const observer = new ResizeObserver(measure);
    if (scroller.current !== null) observer.observe(scroller.current);
    return () => observer.disconnect();
  }, []);
  return {
    plan,
    scroller,
    isLarge: size.pitch >= LARGE,
    isSmallScreen: size.width > 0 && (size.width < 560 || size.overflows || (isTouched() && size.pitch < FINGER)),
    overflows: size.overflows,
  };
}

interface RowProps {
  row: Row;
  states: readonly State[];
  /** The seat in this row that the tab key leads to, if it is in it. */
  stop: string | null;
  prices: Prices;
  opensBooked: boolean;
  isPicture: boolean;
  /** Read so that another language is drawn, too. */
  language: string;
}

const PLAIN = ["stop", "prices", "opensBooked", "isPicture", "language"] as const;

/** Hundreds of seats, of which one changes: a row is drawn again only where something in it has. */
class RowOfSeats extends Component<RowProps> {
  override shouldComponentUpdate(next: Readonly<RowProps>): boolean {
    const { row, states } = this.props;
    return (
      next.row.seats.length !== row.seats.length ||
      next.row.name !== row.name ||
      next.row.seats.some((seat, index) => seat !== row.seats[index]) ||
      next.states.some((state, index) => state !== states[index]) ||
      PLAIN.some((name) => next[name] !== this.props[name])
    );
  }

  render({ row, states, stop, prices, opensBooked, isPicture }: RowProps) {
    return (
      // biome-ignore lint/a11y/useSemanticElements: a row of buttons is no fieldset of a form.
      <div class="seat-row" role="group" aria-label={texts.value.row(row.name)} style={{ gridRow: row.y + 2 }}>
        <span class="row-letter" aria-hidden="true">
          {row.name}
        </span>
        {row.seats.map((seat, index) => (
          <SeatButton
            key={seat.seat_id}
            seat={seat}
            state={states[index] as State}
            isStop={seat.seat_id === stop}
            cost={priceText(priceOf(prices, seat), prices.currency)}
            opensBooked={opensBooked}
            isPicture={isPicture}
            language={language.value}
          />
        ))}
        <span class="row-letter last" aria-hidden="true">
          {row.name}
        </span>
      </div>
    );
  }
}

interface SeatProps {
  seat: Seat;
  state: State;
  isStop: boolean;
  cost: string;
  opensBooked: boolean;
  isPicture: boolean;
  language: string;
}

class SeatButton extends Component<SeatProps> {
  override shouldComponentUpdate(next: Readonly<SeatProps>): boolean {
    return (Object.keys(next) as (keyof SeatProps)[]).some((name) => next[name] !== this.props[name]);
  }

  render({ seat, state, isStop, cost, opensBooked, isPicture }: SeatProps) {
    const { states, signs } = texts.value;
    const isClosed = isPicture || ((state === "taken" || state === "mine") && !opensBooked);
    let how = states[state];
    if (opensBooked && state === "mine") how = signs.shown;
    else if (opensBooked && state === "taken" && seat.status !== "available") how = states[seat.status];
    const type = seat.type === "standard" ? [] : [seatTypeText(seat.type)];
    return (
      <button
        type="button"
        class="seat"
        data-seat={seat.seat_id}
        data-state={state}
        data-status={seat.status}
        {...look(seat.type)}
        style={{ gridColumn: seat.x + 2 }}
        aria-label={[seatText(seat), ...type, cost, how].join(", ")}
        aria-pressed={state === "taken" || state === "mine" ? undefined : state === "chosen" || state === "kept"}
        aria-disabled={isClosed ? "true" : undefined}
        tabIndex={isStop ? 0 : -1}
      >
        {sign(seat.type) ?? seat.number}
      </button>
    );
  }
}

/** What tells a seat's type by its shape. */
const look = (type: string) => ({
  "data-type": type,
  "data-shape": type === "standard" || type === "premium" ? "seat" : "sign",
});

function sign(type: string) {
  if (type === "standard" || type === "premium") return null;
  if (type === "wheelchair") return <Wheelchair />;
  return <Letter of={type} />;
}

const Letter = ({ of }: { of: string }) => (
  <svg viewBox="0 0 24 24" aria-hidden="true">
    <text x="12" y="18" font-size="18" text-anchor="middle">
      {[...of][0]?.toUpperCase()}
    </text>
  </svg>
);

const Wheelchair = () => (
  <svg viewBox="0 0 24 24" aria-hidden="true">
    <circle cx="10" cy="3.6" r="2.4" />
    <path
      d="M10 7v6.5h6.2l2.6 6 2.4-1M10 9.8h5M7.6 11a5.6 5.6 0 1 0 7.4 7"
      fill="none"
      stroke="currentColor"
      stroke-width="2.2"
      stroke-linecap="round"
      stroke-linejoin="round"
    />
  </svg>
);

interface LegendProps {
  seats: readonly Seat[];
  prices: Prices;
  hasMine: boolean;
  opensBooked: boolean;
}

function Legend({ seats, prices, hasMine, opensBooked }: LegendProps) {
  const types = [...new Set(seats.map((seat) => seat.type))].sort(
    (one, other) => Number(other === "standard") - Number(one === "standard") || one.localeCompare(other),
  );
  const { signs, legend } = texts.value;
  return (
    <ul class="legend" aria-label={legend}>
      {types.map((type) => (
        <li key={type}>
          <span class="seat" data-state="available" {...look(type)} aria-hidden="true">
            {sign(type)}
          </span>
          <span class="figures">
            {seatTypeText(type)} {priceText(priceOf(prices, { type }), prices.currency)}
          </span>
        </li>
      ))}
      {(["taken", "kept", ...(hasMine ? (["mine"] as const) : [])] as const).map((state) => (
        <li key={state}>
          <span class="seat" data-state={state} data-shape="seat" aria-hidden="true" />
          {signs[state === "mine" && opensBooked ? "shown" : state]}
        </li>
      ))}
    </ul>
  );
}
