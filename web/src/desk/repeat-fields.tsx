/** On which days a showing is repeated. */

import { dayAfter } from "../core/days";
import { Field } from "../shared/field";
import { dateText } from "../shared/language";
import { WEEKDAYS, type Weekday } from "./repeating";
import { isDay } from "./route";
import { texts } from "./texts";

export interface Repetition {
  isRepeated: boolean;
  until: string;
  weekdays: ReadonlySet<Weekday>;
}

/** Every day of a week, should it be repeated. */
export function repeatFrom(first: string, isRepeated: boolean): Repetition {
  return { isRepeated, until: isDay(first) ? dayAfter(first, 6) : "", weekdays: new Set(WEEKDAYS) };
}

export interface RepeatFieldsProps {
  first: string;
  repetition: Repetition;
  untilProblem: string | null;
  onRepetition: (repetition: Repetition) => void;
}

/** A Monday, from which the days of the week have their names. */
const MONDAY = "2030-01-07";

export function RepeatFields({ first, repetition, untilProblem, onRepetition }: RepeatFieldsProps) {
  const said = texts.value.create;
  const { isRepeated, until, weekdays } = repetition;
  const ticked = (weekday: Weekday, isTicked: boolean) => {
    const chosen = new Set(weekdays);
    if (isTicked) chosen.add(weekday);
    else chosen.delete(weekday);
    onRepetition({ ...repetition, weekdays: chosen });
  };
  return (
    <>
      <fieldset class="choice">
        <legend class="field-label">{said.repeat}</legend>
        {[false, true].map((several) => (
          <label key={String(several)} class="pill">
            <input
              type="radio"
              name="repeat"
              checked={isRepeated === several}
              onChange={() => onRepetition({ ...repetition, isRepeated: several })}
            />
            {several ? said.onDays : said.once}
          </label>
        ))}
      </fieldset>
      {isRepeated && (
        <>
          <Field
            label={said.until}
            type="date"
            value={until}
            min={isDay(first) ? dayAfter(first) : ""}
            required
            error={untilProblem}
            onInput={(event) => onRepetition({ ...repetition, until: event.currentTarget.value })}
          />
          <fieldset class="choice">
            <legend class="field-label">{said.weekdays}</legend>
            {WEEKDAYS.map((weekday) => (
              <label key={weekday} class="pill">
                <input
                  type="checkbox"
                  checked={weekdays.has(weekday)}
                  onChange={(event) => ticked(weekday, event.currentTarget.checked)}
                />
                {dateText(dayAfter(MONDAY, weekday - 1)).split(" ")[0]}
              </label>
            ))}
            <button
              class="button bare"
              type="button"
              onClick={() => onRepetition({ ...repetition, weekdays: new Set(WEEKDAYS) })}
            >
              {said.everyDay}
            </button>
          </fieldset>
        </>
      )}
    </>
  );
}
