/** Asked of whoever may have gone. Any touch answers it (idle.ts), and nobody's silence too. */

import { Dialog } from "../shared/dialog";
import type { Kiosk } from "./kiosk";
import { texts } from "./texts";

export function StillThere({ kiosk, left }: { kiosk: Kiosk; left: number }) {
  const said = texts.value;
  const seconds = Math.ceil(left / 1000);
  return (
    <Dialog title={said.stillThere}>
      <p class="still-there-left display figures" aria-hidden="true">
        {seconds}
      </p>
      <p>{said.stillThereMore(seconds)}</p>
      <p class="soft">{said.touchAnywhere}</p>
      <div class="dialog-foot">
        <button class="button main huge" type="button" onClick={() => kiosk.touched()}>
          {said.goOn}
        </button>
      </div>
    </Dialog>
  );
}
