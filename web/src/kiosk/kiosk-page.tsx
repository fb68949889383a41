/** The whole page: the screen that is due, how it is joined to the box, and the question whether anybody is there. */

import { useEffect } from "preact/hooks";
import { LinkNotice } from "../shared/link-notice";
import { BookingScreen } from "./booking-screen";
import { DoneScreen } from "./done-screen";
import { EmailScreen } from "./email-screen";
import type { Kiosk } from "./kiosk";
import { Message } from "./message";
import { hasFailed } from "./renewal";
import { SeatsScreen } from "./seats-screen";
import { StaffScreen } from "./staff-screen";
import { StartScreen } from "./start-screen";
import { StillThere } from "./still-there";
import { texts } from "./texts";

export function KioskPage({ kiosk }: { kiosk: Kiosk }) {
  const cinema = kiosk.box.cinema.value;
  useEffect(() => {
    if (cinema !== null) document.title = cinema.name;
  }, [cinema]);
  if (hasFailed.value) {
    return (
      <main class="kiosk">
        <Message heading={texts.value.fault} text={texts.value.faultMore} isWaiting />
      </main>
    );
  }
  return (
    <div class="kiosk">
      <div class="kiosk-link">
        <LinkNotice box={kiosk.box} />
      </div>
      <Screen kiosk={kiosk} />
      {kiosk.asked.value !== null && <StillThere kiosk={kiosk} left={kiosk.asked.value} />}
    </div>
  );
}

function Screen({ kiosk }: { kiosk: Kiosk }) {
  if (!kiosk.isStaffed.value) return <StaffScreen box={kiosk.box} />;
  switch (kiosk.flow.value.screen) {
    case "start":
      return <StartScreen kiosk={kiosk} />;
    case "seats":
      return <SeatsScreen kiosk={kiosk} />;
    case "email":
      return <EmailScreen kiosk={kiosk} />;
    case "booking":
      return <BookingScreen kiosk={kiosk} />;
    case "done":
      return <DoneScreen kiosk={kiosk} />;
  }
}
