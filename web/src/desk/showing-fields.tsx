/** The fields of a showing, for a new one and for one that is changed. */

import type { ComponentChildren } from "preact";
import type { Room } from "../box/wire";
import { momentOf } from "../core/days";
import { Field } from "../shared/field";
import { capitalised, counted } from "../shared/language";
import { seatTypeText } from "../shared/seats";
import { useDesk } from "./context";
import { type Draft, type DraftField, LONGEST_TITLE, type Problems, timeTyped } from "./drafts";
import { isDay } from "./route";
import { periodText } from "./sentences";
import { texts } from "./texts";

export interface ShowingFieldsProps {
  draft: Draft;
  rooms: readonly Room[];
  /** What to say of; empty until somebody has tried to send it. */
  problems: Problems;
  onDraft: (draft: Draft) => void;
  /** Why the room cannot be another. */
  roomFixed?: string | undefined;
  priceHint?: ComponentChildren;
}

export function ShowingFields({ draft, rooms, problems, onDraft, roomFixed, priceHint }: ShowingFieldsProps) {
  const said = texts.value.form;
  const problem = (field: DraftField) => {
    const found = problems.get(field);
    return found === undefined ? null : said.problems[found];
  };
  const set =
    (field: Exclude<keyof Draft, "prices">) =>
    ({ currentTarget }: { currentTarget: HTMLInputElement | HTMLSelectElement }) =>
      onDraft({ ...draft, [field]: currentTarget.value });
  const room = rooms.find(({ room_id }) => room_id === draft.roomId);
  return (
    <>
      <Field
        label={said.title}
        value={draft.title}
        maxlength={LONGEST_TITLE}
        autocomplete="off"
        required
        error={problem("title")}
        onInput={set("title")}
      />
      <div class="fields-row">
        <Field label={said.day} type="date" value={draft.day} required error={problem("day")} onInput={set("day")} />
        <Field
          label={said.time}
          inputmode="numeric"
          autocomplete="off"
          maxlength={5}
          value={draft.time}
          required
          error={problem("time")}
          onInput={set("time")}
        />
        <Field
          label={said.minutes}
          inputmode="numeric"
          autocomplete="off"
          value={draft.minutes}
          required
          error={problem("minutes")}
          onInput={set("minutes")}
        />
      </div>
      <Period draft={draft} />
      <Field label={said.room} error={problem("roomId")} {...(roomFixed === undefined ? {} : { hint: roomFixed })}>
        {(tied) => (
          <select {...tied} value={draft.roomId} required disabled={roomFixed !== undefined} onChange={set("roomId")}>
            <option value="">{said.chooseRoom}</option>
            {rooms.map(({ room_id, name, seats_total }) => (
              <option key={room_id} value={room_id}>
                {name} ({counted(seats_total, said.roomSeats)})
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field
        label={said.price}
        inputmode="decimal"
        autocomplete="off"
        value={draft.price}
        required
        error={problem("price")}
        onInput={set("price")}
        {...(priceHint === undefined ? {} : { hint: priceHint })}
      />
      {room !== undefined && <TypePrices draft={draft} room={room} problem={problem} onDraft={onDraft} />}
    </>
  );
}

/** The whole period in words, because a browser writes a day in its own way. */
function Period({ draft }: { draft: Draft }) {
  const { cinema } = useDesk();
  const minutes = Number(draft.minutes);
  const time = timeTyped(draft.time);
  const isKnown = isDay(draft.day) && time !== null && Number.isInteger(minutes) && minutes > 0;
  return (
    <p class="soft small figures" role="status">
      {isKnown ? periodText(momentOf(draft.day, time, cinema.timezone), minutes, cinema.timezone) : ""}
    </p>
  );
}

interface TypePricesProps {
  draft: Draft;
  room: Room;
  problem: (field: DraftField) => string | null;
  onDraft: (draft: Draft) => void;
}

/** Prices of the seats that are not the usual ones, where the room has such. */
function TypePrices({ draft, room, problem, onDraft }: TypePricesProps) {
  const said = texts.value.form;
  if (room.types.length < 2 && room.types[0] === "standard") return null;
  return (
    <fieldset class="fields-group">
      <legend class="field-label">{said.otherSeats}</legend>
      <p class="soft small">{said.asPrice}</p>
      <div class="fields-row">
        {room.types
          .filter((type) => type !== "standard" || draft.prices.standard !== undefined)
          .map((type) => (
            <Field
              key={type}
              label={capitalised(seatTypeText(type))}
              inputmode="decimal"
              autocomplete="off"
              value={draft.prices[type] ?? ""}
              error={problem(`prices.${type}`)}
              onInput={({ currentTarget }) =>
                onDraft({ ...draft, prices: { ...draft.prices, [type]: currentTarget.value } })
              }
            />
          ))}
      </div>
    </fieldset>
  );
}

/** Where the first field is that needs another look. */
export function focusFirstProblem(form: HTMLFormElement | null): void {
  requestAnimationFrame(() => form?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus());
}
