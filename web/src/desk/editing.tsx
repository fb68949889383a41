/** Changing a showing, and moving it to another day, time or room: nothing that concerns people goes unseen. */

import { useRef, useState } from "preact/hooks";
import { RefusedError } from "../box/http";
import type { Room, Showing } from "../box/wire";
import { useAsking } from "../shared/asking";
import { Dialog } from "../shared/dialog";
import { counted, language } from "../shared/language";
import { BookingList } from "./booking-list";
import { type Concerned, concernedBy } from "./concerned";
import { ConcernedPeople } from "./concerned-people";
import { useDesk } from "./context";
import {
  changesIn,
  type Details,
  detailsOf,
  draftOf,
  type Problems,
  problemsOf,
  startOf,
  timeTyped,
  updateOf,
} from "./drafts";
import { useAsked, useOwned } from "./lasting";
import { go } from "./navigation";
import { Action, Failure, Go, Heading } from "./parts";
import { conflictsOf } from "./repeating";
import { briefText, whenText } from "./sentences";
import { KnownShowing } from "./showing";
import { focusFirstProblem, ShowingFields } from "./showing-fields";
import { texts } from "./texts";

export function ChangeView({ showingId, isNew }: { showingId: string; isNew: boolean }) {
  const { box } = useDesk();
  const rooms = useAsked(() => box.http.rooms(), "", box.renewed.value);
  return (
    <KnownShowing showingId={showingId} isNew={isNew}>
      {(showing) => (
        <div class="stack narrow-view">
          <p>
            <Go to={{ view: "showing", showingId, bookingId: null }}>
              <span aria-hidden="true">‹</span> {showing.title}
            </Go>
          </p>
          <Heading name={texts.value.change.title} isNew={isNew}>
            {texts.value.change.title}
          </Heading>
          {showing.status === "cancelled" && <p class="notice bad">{texts.value.change.gone}</p>}
          <Failure of={rooms.failure} again={rooms.again} />
          {rooms.value !== null && showing.status !== "cancelled" && (
            <ChangeForm key={showingId} showing={showing} rooms={rooms.value} />
          )}
        </div>
      )}
    </KnownShowing>
  );
}

const NO_PROBLEMS: Problems = new Map();

/** What is about to be done, and whom it concerns. */
interface Step {
  details: Details;
  startsAt: string;
  concerned: Concerned;
}

function ChangeForm({ showing, rooms }: { showing: Showing; rooms: readonly Room[] }) {
  const { box, cinema, programme, user } = useDesk();
  const { timezone } = cinema;
  const list = useOwned(() => new BookingList(box, showing.showing_id), showing.showing_id);
  // What the form was filled with: what differs from it is what this manager has changed, whatever others did meanwhile.
  const [before] = useState(showing);
  const [draft, setDraft] = useState(() => draftOf(before, timezone, language.value));
  const [problems, setProblems] = useState(NO_PROBLEMS);
  const [isUnchanged, setUnchanged] = useState(false);
  const [step, setStep] = useState<Step | null>(null);
  const asking = useAsking();
  const form = useRef<HTMLFormElement>(null);
  const said = texts.value.change;

  const room = rooms.find(({ room_id }) => room_id === draft.roomId);
  const isSold = list.bookings.value?.some(({ status }) => status === "confirmed") ?? false;

  const save = async ({ details, startsAt }: Pick<Step, "details" | "startsAt">) => {
    programme.learn([await box.http.changeShowing(updateOf(before, details, startsAt))]);
    go({ view: "showing", showingId: showing.showing_id, bookingId: null }, texts.value.showing.saved);
  };

  const sent = async (event: SubmitEvent) => {
    event.preventDefault();
    const found = problemsOf(draft, room);
    setProblems(found);
    setUnchanged(false);
    if (found.size > 0) {
      focusFirstProblem(form.current);
      return;
    }
    const details = detailsOf(draft, room, before.prices);
    const startsAt = startOf(draft.day, details.time, timezone);
    const changes = changesIn(before, details, startsAt);
    setUnchanged(changes.size === 0);
    if (changes.size === 0) return;
    await asking.run(async () => {
      if (changes.has("time") || changes.has("room")) {
        const concerned = concernedBy(await list.ask(), user);
        if (concerned.bookings > 0) return setStep({ details, startsAt, concerned });
      }
      await save({ details, startsAt });
    });
  };

  const sentence = (failure: unknown) =>
    failure instanceof RefusedError && failure.code === "conflict" ? said.conflict : null;

  return (
    // What is wrong is said by the page, in the reader's language.
    <form class="stack card" ref={form} noValidate onSubmit={(event) => void sent(event)}>
      <ShowingFields
        draft={draft}
        rooms={rooms}
        problems={problems}
        onDraft={(changed) => {
          setDraft(changed);
          setUnchanged(false);
          asking.forget();
        }}
        roomFixed={isSold ? said.roomFixed : undefined}
        priceHint={isSold ? said.soldPrice : undefined}
      />
      <Overlap showing={showing} draft={draft} />
      <div role="status">
        {problems.size > 0 && <p class="notice bad">{counted(problems.size, texts.value.form.checkFields)}</p>}
        {isUnchanged && <p class="notice quiet">{said.nothing}</p>}
      </div>
      {step === null && <Failure of={asking.failure} text={sentence(asking.failure)} />}
      <div class="row">
        <Action type="submit" kind="main" isBusy={asking.isBusy} busy={said.saving}>
          {said.save}
        </Action>
        <Go class="button" to={{ view: "showing", showingId: showing.showing_id, bookingId: null }}>
          {texts.value.frame.back}
        </Go>
      </div>
      {step !== null && (
        <Dialog title={said.dialogTitle} onClose={() => setStep(null)} isStaying={asking.isBusy}>
          <div class="stack">
            <p>
              {said.becomes(
                whenText(
                  {
                    starts_at: step.startsAt,
                    ends_at: new Date(Date.parse(step.startsAt) + step.details.minutes * 60_000).toISOString(),
                    room: room?.name ?? showing.room,
                  },
                  timezone,
                ),
              )}
            </p>
            <Overlap showing={showing} draft={draft} />
            <ConcernedPeople concerned={step.concerned} />
            <p class="soft">{texts.value.concerned.tellThemToo}</p>
            <Failure of={asking.failure} text={sentence(asking.failure)} />
          </div>
          <div class="dialog-foot">
            <Action isDisabled={asking.isBusy} onClick={() => setStep(null)}>
              {said.keep}
            </Action>
            <Action
              kind="main"
              isBusy={asking.isBusy}
              busy={said.saving}
              onClick={() => void asking.run(() => save(step))}
            >
              {said.confirm}
            </Action>
          </div>
        </Dialog>
      )}
    </form>
  );
}

/** Other showings of the room at that time: a warning, because the box leaves it to the cinema. */
function Overlap({ showing, draft }: { showing: Showing; draft: ReturnType<typeof draftOf> }) {
  const { cinema, programme } = useDesk();
  const { timezone } = cinema;
  const wrong = problemsOf(draft);
  let sentence = "";
  if (!["day", "time", "minutes", "roomId"].some((field) => wrong.has(field as "day"))) {
    const starts_at = startOf(draft.day, timeTyped(draft.time) ?? "", timezone);
    const ends_at = new Date(Date.parse(starts_at) + Number(draft.minutes) * 60_000).toISOString();
    const period = { showing_id: showing.showing_id, starts_at, ends_at };
    sentence = conflictsOf(period, draft.roomId, programme.showings.value)
      .map((other) => briefText(other, timezone))
      .join("; ");
  }
  return <div role="status">{sentence !== "" && <p class="notice">{texts.value.change.overlap(sentence)}</p>}</div>;
}
