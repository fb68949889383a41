/** The page: who may be here, what stands around every view, and which view is shown. */

import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { Box } from "../box/box";
import { Order } from "../box/order";
import type { Cinema, User } from "../box/wire";
import { Dialog } from "../shared/dialog";
import { LanguageSwitch } from "../shared/language-switch";
import { LinkNotice } from "../shared/link-notice";
import { SignIn } from "../shared/sign-in";
import { AccountView } from "./account";
import { calledBy } from "./accounts";
import { BackgroundSales } from "./background";
import { DeskContext } from "./context";
import { CreateView } from "./creating";
import { ChangeView } from "./editing";
import { FindView } from "./finding";
import { useOwned } from "./lasting";
import { flash, go, route } from "./navigation";
import { News } from "./news";
import { Action, Go, Heading } from "./parts";
import { Programme } from "./programme";
import type { Route, View } from "./route";
import { Sales } from "./sales";
import { ShowingView } from "./showing";
import { texts } from "./texts";
import { TodayView } from "./today";
import { UsersView } from "./users";

export function App({ box }: { box: Box }) {
  const cinema = box.cinema.value;
  const user = box.session.value?.user ?? null;
  /** Who worked here before the session was ended from without: what they were at stays while they sign in again. */
  const last = useRef<User | null>(null);
  if (user !== null) last.current = user;
  else if (!box.signedOut.value) last.current = null;
  const worker = user ?? last.current;
  if (worker?.role === "manager" && cinema !== null) {
    return (
      <Office box={box} cinema={cinema} user={worker}>
        {user === null && <SignInAgain box={box} />}
      </Office>
    );
  }
  return <Door box={box} user={user} />;
}

/** Before one is in. */
function Door({ box, user }: { box: Box; user: User | null }) {
  const said = texts.value.frame;
  return (
    <>
      <header class="desk-head">
        <div class="wide row apart">
          <p class="desk-name display">{box.cinema.value?.name ?? said.desk}</p>
          <LanguageSwitch />
        </div>
      </header>
      <main class="wide desk-door stack">
        <LinkNotice box={box} />
        {user === null && (
          <>
            <Heading name={said.signIn} isNew={false}>
              {said.signIn}
            </Heading>
            <SignIn box={box} />
          </>
        )}
        {user !== null && user.role !== "manager" && (
          <>
            <Heading name={said.managersOnly} isNew={false}>
              {said.managersOnly}
            </Heading>
            <p>{said.signedInAs(calledBy(user))}</p>
            <div class="row">
              <Action kind="main" onClick={() => void box.signOut()}>
                {said.signOut}
              </Action>
              <a class="button" href="/">
                {said.tickets}
              </a>
            </div>
          </>
        )}
        {user?.role === "manager" && <p class="soft">{said.loading}</p>}
      </main>
    </>
  );
}

function SignInAgain({ box }: { box: Box }) {
  const said = texts.value.frame;
  return (
    <Dialog title={said.signInAgain} onClose={() => {}} isStaying>
      <div class="stack">
        <p>{said.ended}</p>
        <SignIn box={box} />
      </div>
    </Dialog>
  );
}

interface OfficeProps {
  box: Box;
  cinema: Cinema;
  user: User;
  children: ComponentChildren;
}

function Office({ box, cinema, user, children }: OfficeProps) {
  const programme = useOwned(() => new Programme(box), "");
  const news = useOwned(() => new News(box, programme), "");
  const sales = useOwned(() => new Sales(box), "");
  const desk = useMemo(() => ({ box, cinema, user, programme, news, sales }), [cinema, user]);
  const main = useRef<HTMLElement>(null);
  const said = texts.value.frame;
  useEffect(() => resume(box, sales), []);
  return (
    <DeskContext.Provider value={desk}>
      <button class="skip" type="button" onClick={() => main.current?.focus()}>
        {said.skip}
      </button>
      <Head cinema={cinema} user={user} />
      <main class="wide desk-main" ref={main} tabIndex={-1}>
        <LinkNotice box={box} />
        <div role="status">{flash.value !== null && <p class="notice flash">✓ {flash.value}</p>}</div>
        <BackgroundSales />
        <CurrentView />
      </main>
      {children}
    </DeskContext.Provider>
  );
}

/** What was under way when the page was reloaded: a booking that was asked for is seen to its end, seats that were merely
 * chosen elsewhere are given back. */
function resume(box: Box, sales: Sales): void {
  const asked = box.unresolved.at(-1);
  sales.takeUp();
  if (asked !== undefined) go({ view: "showing", showingId: asked.showing_id, bookingId: null });
  else if (route.peek().view !== "showing") void Order.abandon(box);
}

const VIEWS: readonly { view: View; to: Route; name: "today" | "new" | "find" | "users" }[] = [
  { view: "today", to: { view: "today", day: null }, name: "today" },
  { view: "new", to: { view: "new", repeats: null }, name: "new" },
  { view: "find", to: { view: "find", text: "" }, name: "find" },
  { view: "users", to: { view: "users" }, name: "users" },
];

function Head({ cinema, user }: { cinema: Cinema; user: User }) {
  const said = texts.value.frame;
  const { view } = route.value;
  return (
    <header class="desk-head">
      <div class="wide desk-head-row">
        <p class="desk-name display">
          {cinema.name} <span class="eyebrow">{said.desk}</span>
        </p>
        <nav aria-label={said.views}>
          <ul class="desk-views">
            {VIEWS.map(({ view: one, to, name }) => (
              <li key={one} data-current={one === view}>
                <Go to={to} isCurrent={one === view}>
                  {said[name]}
                </Go>
              </li>
            ))}
          </ul>
        </nav>
        <div class="desk-self">
          <Go to={{ view: "account" }} isCurrent={view === "account"}>
            {calledBy(user)}
            <span class="unseen"> ({said.account})</span>
          </Go>
          <LanguageSwitch />
        </div>
      </div>
    </header>
  );
}

function CurrentView() {
  const shown = route.value;
  const key = placeOf(shown);
  const before = useRef<string | null>(null);
  // Whoever comes from another view is led to the heading; whoever opens the page is not.
  const isNew = before.current !== null && before.current !== key;
  useEffect(() => {
    if (isNew) scrollTo(0, 0);
    before.current = key;
  }, [key]);
  switch (shown.view) {
    case "today":
      return <TodayView day={shown.day} isNew={isNew} key={key} />;
    case "showing":
      return <ShowingView showingId={shown.showingId} bookingId={shown.bookingId} isNew={isNew} key={key} />;
    case "change":
      return <ChangeView showingId={shown.showingId} isNew={isNew} key={key} />;
    case "new":
      return <CreateView repeats={shown.repeats} isNew={isNew} key={key} />;
    case "find":
      return <FindView text={shown.text} isNew={isNew} key={key} />;
    case "users":
      return <UsersView isNew={isNew} key={key} />;
    case "account":
      return <AccountView isNew={isNew} key={key} />;
  }
}

/** What has to be another for a view to be a new one: a day, a booking or a search within it has not. */
function placeOf(shown: Route): string {
  if (shown.view === "showing" || shown.view === "change") return `${shown.view} ${shown.showingId}`;
  return shown.view === "new" ? `new ${shown.repeats}` : shown.view;
}
