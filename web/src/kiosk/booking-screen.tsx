/** While it is not known what became of the booking: nothing to touch, and words for why it takes its time. */

import { useLater } from "../shared/link-notice";
import type { Kiosk } from "./kiosk";
import { Message } from "./message";
import { texts } from "./texts";
import { GRACE } from "./times";

export function BookingScreen({ kiosk }: { kiosk: Kiosk }) {
  const said = texts.value;
  const link = kiosk.box.link.value;
  const isAway = useLater(link === "reconnecting", GRACE);
  const isSlow = useLater(true, 4 * GRACE);
  return (
    <main class="screen">
      <Message heading={said.booking} isWaiting>
        <div role="status" class="stack">
          {isAway ? (
            <>
              <p class="message-turn">{said.bookingAway}</p>
              <p class="soft">{said.bookingAwayMore}</p>
            </>
          ) : (
            <p class="soft">{isSlow ? said.bookingSlow : said.bookingMore}</p>
          )}
        </div>
      </Message>
    </main>
  );
}
