/** Who somebody is here, and what they may change about it. */

import { useState } from "preact/hooks";
import { RefusedError } from "../box/http";
import { useAsking } from "../shared/asking";
import { Field } from "../shared/field";
import { inLanguage } from "../shared/language";
import { LanguageSwitch } from "../shared/language-switch";
import { mustSignIn } from "../shared/link-notice";
import { NewPassword } from "../shared/new-password";
import { failureText } from "../shared/refusals";
import { focusHeading, Heading } from "./heading";
import { box } from "./page";
import { type Way, WhoAreYou, wayTitle } from "./who-are-you";

const texts = inLanguage({
  en: {
    title: "My details",
    signedOut: "You can look around without signing in. To book, all you need is a name and an e-mail address.",
    closed: "To look around and to book, all you need is a name and an e-mail address.",
    as: (name: string) => `Signed in as ${name}`,
    visitor: "You’re booking without an account. This browser remembers you for a while.",
    name: "Name",
    email: "E-mail address",
    save: "Save",
    saved: "Saved.",
    details: "Name and e-mail",
    password: "Password",
    old: "Current password",
    new: "New password",
    newHint: "At least 10 characters. You stay signed in here and are signed out on other devices.",
    change: "Change password",
    changed: "Your password has been changed.",
    wrong: "This is not your current password.",
    language: "Language",
    signOut: "Sign out",
  },
  nl: {
    title: "Mijn gegevens",
    signedOut:
      "Je kunt alles bekijken zonder in te loggen. Om te boeken heb je alleen een naam en een e-\u2060mailadres nodig.",
    closed: "Om rond te kijken en te boeken heb je alleen een naam en een e-\u2060mailadres nodig.",
    as: (name: string) => `Ingelogd als ${name}`,
    visitor: "Je boekt zonder account. Deze browser onthoudt je een tijdje.",
    name: "Naam",
    email: "E-mailadres",
    save: "Opslaan",
    saved: "Opgeslagen.",
    details: "Naam en e-mail",
    password: "Wachtwoord",
    old: "Huidig wachtwoord",
    new: "Nieuw wachtwoord",
    newHint: "Minstens 10 tekens. Hier blijf je ingelogd; op andere apparaten word je uitgelogd.",
    change: "Wachtwoord wijzigen",
    changed: "Je wachtwoord is gewijzigd.",
    wrong: "Dit is niet je huidige wachtwoord.",
    language: "Taal",
    signOut: "Uitloggen",
  },
});

export function Account() {
  const user = box.session.value?.user ?? null;
  const said = texts.value;
  const [way, setWay] = useState<Way>("signIn");
  return (
    <div class="wide narrow account-view stack loose">
      <Heading title={user === null ? wayTitle(way) : said.title} />
      {user === null ? (
        <>
          <p class="soft">{mustSignIn(box) ? said.closed : said.signedOut}</p>
          <WhoAreYou way={way} onWay={setWay} />
        </>
      ) : (
        <>
          <div class="stack tight">
            <p>{said.as(user.name ?? user.username ?? user.email ?? "")}</p>
            {user.role === "visitor" && <p class="soft small">{said.visitor}</p>}
            <p>
              <button
                class="button"
                type="button"
                onClick={() => {
                  focusHeading();
                  void box.signOut();
                }}
              >
                {said.signOut}
              </button>
            </p>
          </div>
          <Details key={user.user_id} />
          {user.username !== null && <Password username={user.username} />}
        </>
      )}
      <section class="stack tight">
        <h2>{said.language}</h2>
        <LanguageSwitch />
      </section>
    </div>
  );
}

/** What a form says below it: that it was done, or why not. */
function useForm(ask: (entered: (name: string) => string) => Promise<unknown>, done: () => string) {
  const { failure, isBusy, run } = useAsking();
  const [note, setNote] = useState<string | null>(null);
  const onSubmit = async (event: SubmitEvent) => {
    event.preventDefault();
    const data = new FormData(event.target as HTMLFormElement);
    setNote(null);
    if (await run(() => ask((name) => String(data.get(name))))) setNote(done());
  };
  return { note, failure, isBusy, onSubmit: (event: SubmitEvent) => void onSubmit(event) };
}

function Details() {
  const user = box.session.value?.user;
  const said = texts.value;
  const { note, failure, isBusy, onSubmit } = useForm(
    (entered) => box.changeMe({ name: entered("name").trim(), email: entered("email").trim() }),
    () => texts.value.saved,
  );
  return (
    <form class="stack" aria-labelledby="details-title" onSubmit={onSubmit}>
      <h2 id="details-title">{said.details}</h2>
      <Field label={said.name} name="name" autocomplete="name" value={user?.name ?? ""} maxlength={100} required />
      <Field
        label={said.email}
        name="email"
        type="email"
        autocomplete="email"
        value={user?.email ?? ""}
        maxlength={254}
        required
        error={failure === null ? null : failureText(failure)}
      />
      <div class="row">
        <button class="button" type="submit" aria-disabled={isBusy ? "true" : undefined}>
          {said.save}
        </button>
        <span role="status">{note}</span>
      </div>
    </form>
  );
}

function Password({ username }: { username: string }) {
  const said = texts.value;
  const { note, failure, isBusy, onSubmit } = useForm(
    (entered) => box.changePassword(username, entered("old"), entered("new")),
    () => texts.value.changed,
  );
  const isWrong = failure instanceof RefusedError && failure.status === 403;
  return (
    <form class="stack" aria-labelledby="password-title" onSubmit={onSubmit}>
      <h2 id="password-title">{said.password}</h2>
      <input class="unseen" tabIndex={-1} aria-hidden="true" autocomplete="username" value={username} readOnly />
      <Field
        label={said.old}
        name="old"
        type="password"
        autocomplete="current-password"
        required
        error={isWrong ? said.wrong : null}
      />
      <NewPassword
        label={said.new}
        name="new"
        hint={said.newHint}
        error={failure === null || isWrong ? null : failureText(failure)}
      />
      <div class="row">
        <button class="button" type="submit" aria-disabled={isBusy ? "true" : undefined}>
          {said.change}
        </button>
        <span role="status">{note}</span>
      </div>
    </form>
  );
}
