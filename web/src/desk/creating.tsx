/** A new showing, once or on many days: what will be made is seen before, and what became of each afterwards. */

import { useMemo, useRef, useState } from "preact/hooks";
import { v4 as newId } from "uuid";
import { RefusedError, UnreachableError } from "../box/http";
import type { Room, Showing } from "../box/wire";
import { dayAfter, dayOf } from "../core/days";
import { counted, dateText, language, timeText } from "../shared/language";
import { useDesk } from "./context";
import {
  type Details,
  type Draft,
  detailsOf,
  draftOf,
  emptyDraft,
  type Problems,
  problemsOf,
  timeTyped,
} from "./drafts";
import { useAsked } from "./lasting";
import { Action, Failure, Go, Heading } from "./parts";
import { RepeatFields, type Repetition, repeatFrom } from "./repeat-fields";
import { conflictsOf, type Made, MOST_DAYS, type Planned, planned, repeatedDays, toBeMade } from "./repeating";
import { isDay } from "./route";
import { briefText, whyText } from "./sentences";
import { KnownShowing } from "./showing";
import { focusFirstProblem, ShowingFields } from "./showing-fields";
import { texts } from "./texts";

export function CreateView({ repeats, isNew }: { repeats: string | null; isNew: boolean }) {
  const { box, cinema } = useDesk();
  const rooms = useAsked(() => box.http.rooms(), "", box.renewed.value);
  const [turn, setTurn] = useState(0);
  const said = texts.value.create;
  const title = repeats === null ? said.title : said.repeatTitle;
  const tomorrow = dayAfter(dayOf(box.now(), cinema.timezone));
  const form = (example: Showing | null) =>
    rooms.value !== null && (
      <CreateForm
        key={`${repeats} ${turn}`}
        rooms={rooms.value}
        begin={() => beginning(example, rooms.value ?? [], tomorrow, cinema.timezone)}
        isRepeating={example !== null}
        onAnother={() => setTurn((before) => before + 1)}
      />
    );
  return (
    <div class="stack">
      <Heading name={title} isNew={isNew}>
        {title}
      </Heading>
      <Failure of={rooms.failure} again={rooms.again} />
      {repeats === null ? (
        form(null)
      ) : (
        <KnownShowing showingId={repeats} isNew={false}>
          {form}
        </KnownShowing>
      )}
    </div>
  );
}

/** An empty form, or one like another showing, on the day after it. */
function beginning(example: Showing | null, rooms: readonly Room[], tomorrow: string, timezone: string): Draft {
  if (example === null) {
    const [only, another] = rooms;
    return { ...emptyDraft(tomorrow), roomId: another === undefined ? (only?.room_id ?? "") : "" };
  }
  const draft = draftOf(example, timezone, language.value);
  const next = dayAfter(draft.day);
  return { ...draft, day: next < tomorrow ? tomorrow : next };
}

interface CreateFormProps {
  rooms: readonly Room[];
  begin: () => Draft;
  isRepeating: boolean;
  onAnother: () => void;
}

const NO_PROBLEMS: Problems = new Map();

function CreateForm({ rooms, begin, isRepeating, onAnother }: CreateFormProps) {
  const { box, cinema, programme } = useDesk();
  const { timezone } = cinema;
  const [draft, setDraft] = useState(begin);
  const [repetition, setRepetition] = useState<Repetition>(() => repeatFrom(draft.day, isRepeating));
  const [problems, setProblems] = useState(NO_PROBLEMS);
  /** Days that were ticked or unticked by hand. */
  const [ticks, setTicks] = useState<ReadonlyMap<string, boolean>>(new Map());
  const [made, setMade] = useState<ReadonlyMap<string, Made>>(new Map());
  const [isMaking, setMaking] = useState(false);
  /** Once it was sent, the form stays as it was until somebody wants to change it. */
  const [isLocked, setLocked] = useState(false);
  const known = useRef<readonly Planned[]>([]);
  const form = useRef<HTMLFormElement>(null);
  const said = texts.value.create;

  const room = rooms.find(({ room_id }) => room_id === draft.roomId);
  const wrong = problemsOf(draft, room);
  const isTimed = !(wrong.has("day") || wrong.has("time") || wrong.has("minutes"));
  const isUntilWrong =
    repetition.isRepeated && !(isDay(repetition.until) && isDay(draft.day) && repetition.until > draft.day);

  const plan = useMemo(() => {
    if (!isTimed) return [];
    const days = repetition.isRepeated ? repeatedDays(draft.day, repetition.until, repetition.weekdays) : [draft.day];
    const next = planned(
      days,
      { time: timeTyped(draft.time) ?? "", minutes: Number(draft.minutes) },
      timezone,
      newId,
      known.current,
    );
    // Days that go and come back keep their ids as well.
    const here = new Set(days);
    known.current = [...next, ...known.current.filter(({ day }) => !here.has(day))];
    return next;
  }, [isTimed, draft.day, draft.time, draft.minutes, repetition, timezone, isLocked]);

  const now = box.now();
  const rows: readonly Row[] = plan.map((one) => {
    const conflicts = draft.roomId === "" ? [] : conflictsOf(one, draft.roomId, programme.showings.value);
    const isPast = Date.parse(one.ends_at) <= now;
    const outcome = made.get(one.showing_id);
    return {
      planned: one,
      conflicts,
      isPast,
      outcome,
      isTicked: ticks.get(one.day) ?? (conflicts.length === 0 && !isPast),
    };
  });
  const leftOut = new Set(rows.filter(({ isTicked }) => !isTicked).map((row) => row.planned.day));
  const todo = toBeMade(plan, made, leftOut);
  const done = rows.filter(({ outcome }) => outcome === "made").length;
  const failed = rows.filter(({ outcome }) => typeof outcome === "object").length;

  const make = async (details: Details) => {
    setMaking(true);
    setLocked(true);
    const outcomes = new Map(made);
    const note = (id: string, outcome: Made) => setMade(new Map(outcomes.set(id, outcome)));
    for (const { showing_id } of todo) note(showing_id, "waiting");
    for (const { showing_id, starts_at } of todo) {
      note(showing_id, "making");
      try {
        const { title, minutes, room_id, price, prices } = details;
        const showing = { showing_id, title, starts_at, minutes, room_id, price, prices };
        programme.learn([await box.http.changeShowing({ action: "create", showing })]);
        note(showing_id, "made");
      } catch (failure) {
        note(showing_id, { failed: failure });
        if (!(failure instanceof UnreachableError)) continue;
        // Nobody answers: the others would wait as long each.
        for (const other of todo)
          if (outcomes.get(other.showing_id) === "waiting") note(other.showing_id, { failed: failure });
        break;
      }
    }
    setMaking(false);
  };

  const sent = (event: SubmitEvent) => {
    event.preventDefault();
    if (isMaking) return;
    setProblems(wrong);
    if (wrong.size > 0 || isUntilWrong) focusFirstProblem(form.current);
    else if (todo.length > 0) void make(detailsOf(draft, room));
  };

  const unlock = () => {
    // What is made is made: its day, should it be planned again, is another showing.
    known.current = known.current.filter(({ showing_id }) => made.get(showing_id) !== "made");
    setLocked(false);
    setMade(new Map());
    setTicks(new Map());
  };

  const isFinished = isLocked && !isMaking && todo.length === 0 && done > 0;
  return (
    <form class="desk-columns even" ref={form} noValidate onSubmit={sent}>
      <fieldset class="stack card bare-fieldset" disabled={isLocked}>
        <legend class="unseen">{said.title}</legend>
        <ShowingFields draft={draft} rooms={rooms} problems={problems} onDraft={setDraft} />
        <RepeatFields
          first={draft.day}
          repetition={repetition}
          untilProblem={isUntilWrong ? said.untilProblem : null}
          onRepetition={setRepetition}
        />
      </fieldset>
      <section class="stack" aria-labelledby="preview-title">
        <h2 id="preview-title">{said.preview}</h2>
        {rows.length === 0 ? (
          <p class="soft">{said.fillIn}</p>
        ) : (
          <Preview
            rows={rows}
            isLocked={isLocked}
            onTick={(day, isTicked) => setTicks(new Map(ticks).set(day, isTicked))}
          />
        )}
        {rows.length === MOST_DAYS && <p class="soft small">{said.most(MOST_DAYS)}</p>}
        <div role="status">
          {problems.size > 0 && !isLocked && wrong.size > 0 && (
            <p class="notice bad">{counted(wrong.size, texts.value.form.checkFields)}</p>
          )}
          {isMaking && <p>{said.creating(done, done + todo.length)}</p>}
          {isFinished && <p class="notice">{counted(done, said.allMade)}</p>}
          {isLocked && !isMaking && failed > 0 && <p class="notice bad">{said.someMade(done, done + failed)}</p>}
        </div>
        <div class="row sending">
          {!isFinished && (
            <Action type="submit" kind="main" isBusy={isMaking} isDisabled={rows.length > 0 && todo.length === 0}>
              {rows.length > 0 && todo.length === 0
                ? said.nothing
                : counted(Math.max(1, todo.length), failed > 0 ? said.again : said.create)}
            </Action>
          )}
          {isLocked && !isMaking && failed > 0 && <Action onClick={unlock}>{said.change}</Action>}
          {isFinished && (
            <>
              <Go class="button main" to={{ view: "today", day: draft.day }}>
                {said.toDay}
              </Go>
              <Action onClick={onAnother}>{said.another}</Action>
            </>
          )}
        </div>
      </section>
    </form>
  );
}

interface Row {
  planned: Planned;
  conflicts: readonly Showing[];
  isPast: boolean;
  outcome: Made | undefined;
  isTicked: boolean;
}

interface PreviewProps {
  rows: readonly Row[];
  isLocked: boolean;
  onTick: (day: string, isTicked: boolean) => void;
}

function Preview({ rows, isLocked, onTick }: PreviewProps) {
  const { cinema } = useDesk();
  const said = texts.value.create;
  return (
    <table class="table preview">
      <caption class="unseen">{said.preview}</caption>
      <thead>
        <tr>
          <th scope="col">
            <span class="unseen">{said.make}</span>
          </th>
          <th scope="col">{said.columns.day}</th>
          <th scope="col">{said.columns.time}</th>
          <th scope="col">{said.columns.state}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => {
          const { day, starts_at, ends_at } = row.planned;
          return (
            <tr key={day} data-ticked={row.isTicked}>
              <td>
                <input
                  type="checkbox"
                  aria-label={said.makeOn(dateText(day))}
                  checked={row.isTicked}
                  disabled={isLocked}
                  onChange={(event) => onTick(day, event.currentTarget.checked)}
                />
              </td>
              <th scope="row">{dateText(day, "short")}</th>
              <td class="figures">
                {timeText(starts_at, cinema.timezone)}–{timeText(ends_at, cinema.timezone)}
              </td>
              <td>
                <RowState row={row} />
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function RowState({ row }: { row: Row }) {
  const { cinema } = useDesk();
  const said = texts.value.create;
  const { outcome, conflicts } = row;
  if (typeof outcome === "object") {
    const { failed } = outcome;
    const why = failed instanceof RefusedError && failed.code === "conflict" ? said.usedAlready : whyText(failed);
    return <span class="failed">✗ {said.failed(why)}</span>;
  }
  if (outcome === "made") {
    return (
      <span class="made">
        ✓ <Go to={{ view: "showing", showingId: row.planned.showing_id, bookingId: null }}>{said.made}</Go>
      </span>
    );
  }
  if (outcome !== undefined && row.isTicked) return <>{said[outcome]}</>;
  if (conflicts.length > 0) {
    const others = conflicts.map((showing) => briefText(showing, cinema.timezone)).join("; ");
    return <span class="failed">⚠ {said.conflict(others)}</span>;
  }
  if (row.isPast) return <span class="soft">{said.past}</span>;
  return <span class="soft">{said.free}</span>;
}
