/** What is on, large enough to be read from across the foyer. */

import type { Showing } from "../box/wire";
import { fullness } from "../core/fullness";
import { leastPrice } from "../core/money";
import { capitalised, dateText, priceText, timeText } from "../shared/language";
import { LanguageSwitch } from "../shared/language-switch";
import { useLater } from "../shared/link-notice";
import { fullDayText, nearDayText } from "../shared/near";
import { seatsLeftText } from "../shared/seats";
import { Heading } from "./heading";
import type { Kiosk } from "./kiosk";
import { Message } from "./message";
import { dayShown, isLong, type ProgrammeDay, programmeOf } from "./programme";
import { texts } from "./texts";
import { GRACE } from "./times";

export function StartScreen({ kiosk }: { kiosk: Kiosk }) {
  const { box } = kiosk;
  const cinema = box.cinema.value;
  const showings = box.showings.value;
  const said = texts.value;
  const isAway = useLater(box.link.value === "reconnecting", GRACE);
  if (isAway || cinema === null || showings === null) {
    return (
      <main class="screen">
        <div class="screen-bar">
          <p class="cinema-name display">{cinema?.name}</p>
          <LanguageSwitch />
        </div>
        {isAway ? (
          <Message heading={said.away} text={said.awayMore} isWaiting />
        ) : (
          <Message heading={said.loading} isWaiting />
        )}
      </main>
    );
  }
  const days = programmeOf(showings, cinema.timezone, kiosk.now.value, cinema.booking.sales_close_minutes);
  const shown = dayShown(days, kiosk.day.value);
  return (
    <main class="screen start">
      <div class="screen-bar">
        <p class="eyebrow">{said.title}</p>
        <LanguageSwitch />
      </div>
      <header class="start-head">
        <Heading>{cinema.name}</Heading>
        <p class="start-welcome display">{said.welcome}</p>
      </header>
      {shown === null ? (
        <section class="message">
          <h2>{said.nothingOn}</h2>
          <p class="soft">{said.nothingOnMore}</p>
        </section>
      ) : (
        <>
          {days.length > 1 && <DayTabs days={days} shown={shown.day} kiosk={kiosk} timezone={cinema.timezone} />}
          <section aria-labelledby="day">
            <h2 id="day" class="day-name">
              {fullDayText(shown.day, kiosk.now.value, cinema.timezone)}
            </h2>
            <ul class="films">
              {shown.showings.map((showing) => (
                <li key={showing.showing_id}>
                  <FilmCard showing={showing} timezone={cinema.timezone} kiosk={kiosk} />
                </li>
              ))}
            </ul>
          </section>
          <p class="invitation" aria-hidden="true">
            {said.invitation}
          </p>
        </>
      )}
    </main>
  );
}

interface DayTabsProps {
  days: readonly ProgrammeDay[];
  shown: string;
  kiosk: Kiosk;
  timezone: string;
}

function DayTabs({ days, shown, kiosk, timezone }: DayTabsProps) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: buttons, of which one is pressed, not a form's fieldset.
    <div class="day-tabs" role="group" aria-label={texts.value.days}>
      {days.map(({ day }) => {
        const near = nearDayText(day, kiosk.now.value, timezone);
        const [weekday, ...date] = dateText(day, "short").replace(",", "").split(" ");
        return (
          <button
            key={day}
            type="button"
            aria-pressed={day === shown}
            onClick={() => {
              kiosk.day.value = day;
            }}
          >
            <span class="day-tab-name">{near ?? capitalised(weekday ?? "")}</span>{" "}
            <span class="day-tab-date">{date.join(" ")}</span>
          </button>
        );
      })}
    </div>
  );
}

function FilmCard({ showing, timezone, kiosk }: { showing: Showing; timezone: string; kiosk: Kiosk }) {
  const least = leastPrice(showing);
  const price = priceText(least.cents, showing.currency);
  const full = fullness(showing);
  return (
    <button
      type="button"
      class="film-card"
      data-fullness={full}
      data-long={isLong(showing.title) ? "" : undefined}
      disabled={full === "sold out"}
      onClick={() => kiosk.choose(showing.showing_id)}
    >
      <span class="film-time display figures">{timeText(showing.starts_at, timezone)}</span>{" "}
      <span class="film-what">
        <span class="film-title display">{showing.title}</span>{" "}
        <span class="film-where soft">
          {showing.room} · <span class="figures">{least.isOnly ? price : texts.value.from(price)}</span>
        </span>
      </span>{" "}
      <span class="film-left figures">{seatsLeftText(showing)}</span>
    </button>
  );
}
