/** A day's showings: what is on where, and how full it is. */

import type { Showing } from "../box/wire";
import { byDay, dayAfter, dayOf } from "../core/days";
import { Field } from "../shared/field";
import { capitalised, counted, dateText, timeText } from "../shared/language";
import { useDesk } from "./context";
import { Feed } from "./feed";
import { useAsked, useByClock } from "./lasting";
import { go } from "./navigation";
import { Failure, Fullness, Go, Heading } from "./parts";
import { isDay } from "./route";
import { texts } from "./texts";

export function TodayView({ day: chosen, isNew }: { day: string | null; isNew: boolean }) {
  const { box, cinema, programme } = useDesk();
  const today = useByClock((now) => dayOf(now, cinema.timezone));
  const day = chosen ?? today;
  const asked = useAsked(() => programme.ask(day, day), day, box.renewed.value);
  const showings = programme.onDay(day, cinema.timezone);
  const said = texts.value.today;
  const name = day === today ? texts.value.frame.today : capitalised(dateText(day));
  return (
    <div class="desk-columns">
      <div class="stack">
        <Heading name={name} isNew={isNew}>
          {name}
          {day === today && <span class="heading-more">{dateText(day)}</span>}
        </Heading>
        <DayChoice day={day} today={today} />
        <Failure of={asked.failure} again={asked.again} />
        {showings.length > 0 && <DaySummary showings={showings} />}
        {showings.length === 0 && asked.value === null && asked.failure === null && box.showings.value === null && (
          <div class="skeleton day-skeleton" aria-hidden="true" />
        )}
        {showings.length === 0 && box.showings.value !== null && <NothingOn day={day} />}
        <ul class="day" aria-label={said.showings}>
          {showings.map((showing) => (
            <DayShowing key={showing.showing_id} showing={showing} />
          ))}
        </ul>
      </div>
      <Feed />
    </div>
  );
}

/** A day without showings leads to the next one that has some. */
function NothingOn({ day }: { day: string }) {
  const { box, cinema } = useDesk();
  const said = texts.value.today;
  const next = byDay(box.showings.value ?? [], cinema.timezone).find(([other]) => other > day)?.[0];
  return (
    <>
      <p class="soft">{said.none}</p>
      <div class="row">
        {next !== undefined && (
          <Go class="button main" to={{ view: "today", day: next }}>
            {said.nextWith(dateText(next))}
          </Go>
        )}
        <Go class="button" to={{ view: "new", repeats: null }}>
          {texts.value.create.title}
        </Go>
      </div>
    </>
  );
}

function DayChoice({ day, today }: { day: string; today: string }) {
  const said = texts.value.today;
  const to = (other: string) => ({ view: "today", day: other === today ? null : other }) as const;
  return (
    <div class="day-choice">
      <Go class="button" to={to(dayAfter(day, -1))}>
        <span aria-hidden="true">‹</span> <span class="long">{said.previous}</span>
      </Go>
      <Field
        label={said.day}
        type="date"
        value={day}
        required
        onInput={(event) => {
          const typed = event.currentTarget.value;
          if (isDay(typed) && typed >= "1970-01-02") go(to(typed));
        }}
      />
      <Go class="button" to={to(dayAfter(day))}>
        <span class="long">{said.next}</span> <span aria-hidden="true">›</span>
      </Go>
      {day !== today && (
        <Go class="button bare" to={to(today)}>
          {said.toToday}
        </Go>
      )}
    </div>
  );
}

function DaySummary({ showings }: { showings: readonly Showing[] }) {
  const said = texts.value.today;
  const scheduled = showings.filter(({ status }) => status === "scheduled");
  const all = scheduled.reduce((sum, { seats_total }) => sum + seats_total, 0);
  const left = scheduled.reduce((sum, { seats_available }) => sum + seats_available, 0);
  return <p class="soft">{said.summary(counted(scheduled.length, said.count), all - left, all)}</p>;
}

function DayShowing({ showing }: { showing: Showing }) {
  const { cinema } = useDesk();
  const state = useByClock((now) => stateOf(showing, now));
  const said = texts.value.today;
  return (
    <li class="day-showing" data-state={state}>
      <span class="day-time figures">
        {timeText(showing.starts_at, cinema.timezone)}
        <span class="soft small">–{timeText(showing.ends_at, cinema.timezone)}</span>
      </span>
      <span class="day-what">
        <Go to={{ view: "showing", showingId: showing.showing_id, bookingId: null }}>{showing.title}</Go>
        <span class="soft small">{showing.room}</span>
      </span>
      {state === "cancelled" ? (
        <span />
      ) : (
        <Fullness taken={showing.seats_total - showing.seats_available} all={showing.seats_total} />
      )}
      {state !== "to come" && <span class={`tag${state === "cancelled" ? " bad" : ""}`}>{said[state]}</span>}
    </li>
  );
}

export type ShowingState = "to come" | "running" | "over" | "cancelled";

export function stateOf(showing: Showing, now: number): ShowingState {
  if (showing.status === "cancelled") return "cancelled";
  if (Date.parse(showing.ends_at) <= now) return "over";
  return Date.parse(showing.starts_at) <= now ? "running" : "to come";
}
