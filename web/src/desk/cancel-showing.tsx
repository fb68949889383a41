/** Cancelling a showing: first whom it concerns, and afterwards to whom to write. */

import { useEffect, useState } from "preact/hooks";
import type { Showing } from "../box/wire";
import { useAsking } from "../shared/asking";
import { Dialog } from "../shared/dialog";
import { capitalised, counted } from "../shared/language";
import type { BookingList } from "./booking-list";
import { type Concerned, concernedBy } from "./concerned";
import { ConcernedPeople } from "./concerned-people";
import { useDesk } from "./context";
import { Action, Failure } from "./parts";
import { whenText } from "./sentences";
import { texts } from "./texts";

export interface CancelShowingProps {
  showing: Showing;
  list: BookingList;
  onClose: () => void;
  onDone: () => void;
}

export function CancelShowing({ showing, list, onClose, onDone }: CancelShowingProps) {
  const { box, cinema, programme, user } = useDesk();
  const looking = useAsking();
  const cancelling = useAsking();
  /** As it was when it was cancelled: then nobody has a booking any more. */
  const [concerned, setConcerned] = useState<Concerned | null>(null);
  const [isDone, setDone] = useState(false);
  const said = texts.value.cancelShowing;

  const look = () => looking.run(async () => setConcerned(concernedBy(await list.ask(), user)));
  useEffect(() => void look(), []);

  const cancel = async () => {
    const isCancelled = await cancelling.run(async () => {
      // Somebody may have booked while this was being read: they are to be written to as well.
      setConcerned(concernedBy(await list.ask(), user));
      const { showing_id } = showing;
      programme.learn([await box.http.changeShowing({ action: "cancel", showing: { showing_id } })]);
    });
    if (!isCancelled) return;
    onDone();
    setDone(true);
  };

  if (isDone) {
    return (
      <Dialog title={said.done} onClose={onClose}>
        {concerned !== null && concerned.bookings > 0 && (
          <div class="stack">
            <p>{texts.value.concerned.tellThem}</p>
            <ConcernedPeople concerned={concerned} />
          </div>
        )}
        <div class="dialog-foot">
          <Action kind="main" onClick={onClose}>
            {texts.value.frame.close}
          </Action>
        </div>
      </Dialog>
    );
  }
  const count = concerned?.bookings ?? 0;
  return (
    <Dialog title={said.title(showing.title)} onClose={onClose} isStaying={cancelling.isBusy}>
      <div class="stack">
        <p>{capitalised(whenText(showing, cinema.timezone))}</p>
        {concerned === null && looking.failure === null && <p class="soft">{texts.value.concerned.checking}</p>}
        <Failure of={looking.failure} again={() => void look()} />
        {concerned !== null && <ConcernedPeople concerned={concerned} />}
        {count > 0 && <p>{said.means}</p>}
        <Failure of={cancelling.failure} />
      </div>
      <div class="dialog-foot">
        <Action isDisabled={cancelling.isBusy} onClick={onClose}>
          {said.keep}
        </Action>
        <Action
          kind="bad"
          isBusy={cancelling.isBusy}
          busy={said.busy}
          isDisabled={concerned === null}
          onClick={() => void cancel()}
        >
          {count === 0 ? said.confirm : counted(count, said.confirmWith)}
        </Action>
      </div>
    </Dialog>
  );
}
