/** The audience's page: what is the same on every view, and the view that the address means. */

import { useEffect, useState } from "preact/hooks";
import { inLanguage } from "../shared/language";
import { LanguageSwitch } from "../shared/language-switch";
import { LinkNotice, mustSignIn } from "../shared/link-notice";
import { Account } from "./account";
import { addressOf } from "./address";
import { Background } from "./background";
import { BookingView } from "./booking-view";
import { Bookings } from "./bookings";
import { box } from "./page";
import { Programme } from "./programme";
import { route } from "./route";
import { ShowingView } from "./showing-view";
import { SignInFirst } from "./sign-in-first";

const texts = inLanguage({
  en: {
    skip: "Skip to content",
    nav: "Main menu",
    programme: "What’s on",
    bookings: "My bookings",
    signIn: "Sign in",
    cinema: "Cinema",
    signedOut: "You’ve been signed out. Your bookings are safe; sign in to carry on.",
    signInAgain: "Sign in",
    ok: "OK",
  },
  nl: {
    skip: "Naar de inhoud",
    nav: "Hoofdmenu",
    programme: "Programma",
    bookings: "Mijn boekingen",
    signIn: "Inloggen",
    cinema: "Bioscoop",
    signedOut: "Je bent uitgelogd. Je boekingen blijven gewoon staan; log in om verder te gaan.",
    signInAgain: "Inloggen",
    ok: "Oké",
  },
});

export function App() {
  const said = texts.value;
  const { view } = route.value;
  const user = box.session.value?.user ?? null;
  const current = (here: boolean) => (here ? ("page" as const) : undefined);
  return (
    <>
      {/* biome-ignore lint/a11y/useValidAnchor: it leads somewhere on the page, but what is behind # is the view's. */}
      <a
        class="skip"
        href="#content"
        onClick={(event) => {
          event.preventDefault();
          document.getElementById("content")?.focus();
        }}
      >
        {said.skip}
      </a>
      <header class="page-head">
        <div class="wide">
          <a class="brand display" href={addressOf.programme}>
            {box.cinema.value?.name ?? said.cinema}
          </a>
          <nav aria-label={said.nav}>
            <a href={addressOf.programme} aria-current={current(view === "programme")}>
              {said.programme}
            </a>
            {user !== null && (
              <a href={addressOf.bookings} aria-current={current(view === "bookings")}>
                {said.bookings}
              </a>
            )}
            <a class="who" href={addressOf.account} aria-current={current(view === "account")}>
              {user === null ? said.signIn : (user.name ?? user.username ?? user.email)}
            </a>
          </nav>
          <LanguageSwitch />
        </div>
      </header>
      <div class="wide notices">
        <LinkNotice box={box} />
        <SignedOut />
      </div>
      <main id="content" tabIndex={-1}>
        <Background />
        <View />
      </main>
    </>
  );
}

function View() {
  const at = route.value;
  const isOpen = at.view === "account" || at.view === "booking" || at.view === "bookings";
  if (!isOpen && mustSignIn(box)) return <SignInFirst />;
  switch (at.view) {
    case "programme":
      return <Programme />;
    case "showing":
      return <ShowingView key={at.showingId} showingId={at.showingId} />;
    case "booking":
      return <BookingView key={at.bookingId} bookingId={at.bookingId} bookingKey={at.key} />;
    case "bookings":
      return <Bookings />;
    case "account":
      return <Account />;
  }
}

/** The box has ended the session: said once, until it is read. */
function SignedOut() {
  const [isRead, setRead] = useState(false);
  const isSo = box.signedOut.value;
  useEffect(() => {
    if (isSo) setRead(false);
  }, [isSo]);
  const said = texts.value;
  return (
    <div role="status">
      {isSo && !isRead && (
        <div class="notice">
          <p>{said.signedOut}</p>
          <a class="button small" href={addressOf.account}>
            {said.signInAgain}
          </a>
          <button class="button small" type="button" onClick={() => setRead(true)}>
            {said.ok}
          </button>
        </div>
      )}
    </div>
  );
}
