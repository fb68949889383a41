/** Whether the booking is to carry an address, typed on keys that are made for it. */

import { useState } from "preact/hooks";
import { isEmail } from "../core/email";
import { total } from "../core/money";
import { Countdown } from "../shared/countdown";
import { Field } from "../shared/field";
import { priceText } from "../shared/language";
import { LanguageSwitch } from "../shared/language-switch";
import { seatsText } from "../shared/seats";
import { typed } from "./email";
import { Heading } from "./heading";
import { Keyboard } from "./keyboard";
import type { Kiosk } from "./kiosk";
import { texts } from "./texts";

/** The machine's own keyboard stays away. Preact's types do not know this value (HTML, inputmode). */
const NO_KEYBOARD = "none" as "email";

export function EmailScreen({ kiosk }: { kiosk: Kiosk }) {
  const said = texts.value;
  const email = kiosk.email.value;
  const [isOdd, setOdd] = useState(false);
  const enter = (text: string) => {
    kiosk.email.value = text;
    setOdd(false);
  };
  const book = (event: Event) => {
    event.preventDefault();
    if (isEmail(email)) kiosk.book(email.trim());
    else setOdd(true);
  };
  const [showing, seats, until] = [kiosk.showing.value, kiosk.seats.value, kiosk.order.value?.expiresAt.value ?? null];
  return (
    <main class="screen email">
      <div class="screen-bar">
        <button class="button" type="button" onClick={() => kiosk.goBack()}>
          {said.back}
        </button>
        <LanguageSwitch />
      </div>
      <header class="stack">
        <Heading>{said.emailHeading}</Heading>
        <p class="soft">{said.emailMore}</p>
      </header>
      <form class="stack" noValidate onSubmit={book}>
        <Field
          label={said.email}
          type="email"
          inputmode={NO_KEYBOARD}
          autocomplete="off"
          value={email}
          error={isOdd ? said.emailOdd : null}
          onInput={(event) => enter(event.currentTarget.value)}
        />
        <Keyboard onKey={(key) => enter(typed(kiosk.email.peek(), key))} />
        <p class="email-order soft figures">
          {seatsText(seats.length)}
          {showing !== null && ` · ${priceText(total(showing, seats), showing.currency)}`}
          {until !== null && (
            <>
              {" · "}
              {said.keptFor} <Countdown box={kiosk.box} until={until} warning={said.warning} />
            </>
          )}
        </p>
        <div class="email-foot">
          <button class="button huge" type="button" onClick={() => kiosk.book(null)}>
            {said.bookWithoutEmail}
          </button>
          <button class="button main huge" type="submit" disabled={email === ""}>
            {said.bookWithEmail}
          </button>
        </div>
      </form>
    </main>
  );
}
