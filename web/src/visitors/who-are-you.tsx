/** Who books: a name and an e-mail, an account, or a new account. `onDone` is called once somebody is signed in. */

import { useEffect, useRef } from "preact/hooks";
import { RefusedError } from "../box/http";
import { useAsking } from "../shared/asking";
import { Field } from "../shared/field";
import { inLanguage } from "../shared/language";
import { NewPassword } from "../shared/new-password";
import { failureText } from "../shared/refusals";
import { SignIn } from "../shared/sign-in";
import { box } from "./page";

export type Way = "visit" | "signIn" | "register";

const texts = inLanguage({
  en: {
    titles: { visit: "Who are the seats for?", signIn: "Sign in", register: "Create an account" },
    visitHint: "A name and an e-mail address are enough. You don’t need an account.",
    name: "Name",
    nameHint: "We’ll ask for it when you pick up your tickets.",
    email: "E-mail address",
    emailHint: "So that we can find your booking at the desk. We don’t send you anything.",
    notEmail: "This doesn’t look like an e-mail address yet. Please check it.",
    username: "Username",
    usernameHint: "3 to 32 lower-case letters, digits, dots, hyphens or underscores.",
    password: "Password",
    passwordHint: "At least 10 characters. A few words are easy to remember.",
    go: { visit: "Continue", register: "Create an account" },
    other: {
      visit: "Book without an account",
      signIn: "I have an account",
      register: "Create an account",
    },
    taken: "This username is taken. Please choose another.",
  },
  nl: {
    titles: { visit: "Voor wie zijn de stoelen?", signIn: "Inloggen", register: "Account aanmaken" },
    visitHint: "Een naam en een e-\u2060mailadres zijn genoeg. Je hebt geen account nodig.",
    name: "Naam",
    nameHint: "Die vragen we als je je kaartjes ophaalt.",
    email: "E-mailadres",
    emailHint: "Daarmee vinden we aan de kassa je boeking terug. We sturen je niets toe.",
    notEmail: "Dit lijkt nog niet op een e-\u2060mailadres. Kijk het even na.",
    username: "Gebruikersnaam",
    usernameHint: "3 tot 32 kleine letters, cijfers, punten, streepjes of underscores.",
    password: "Wachtwoord",
    passwordHint: "Minstens 10 tekens. Een paar woorden onthoud je makkelijk.",
    go: { visit: "Verder", register: "Account aanmaken" },
    other: {
      visit: "Zonder account boeken",
      signIn: "Ik heb een account",
      register: "Account aanmaken",
    },
    taken: "Deze gebruikersnaam is al in gebruik. Kies een andere.",
  },
});

export const wayTitle = (way: Way): string => texts.value.titles[way];

export interface WhoAreYouProps {
  way: Way;
  onWay: (way: Way) => void;
  onDone?: () => void;
}

export function WhoAreYou({ way, onWay, onDone = () => {} }: WhoAreYouProps) {
  const mayRegister = box.cinema.value?.allow_registration ?? true;
  const others = (["visit", "signIn", "register"] as const).filter(
    (other) => other !== way && (other !== "register" || mayRegister),
  );
  const forms = useRef<HTMLDivElement>(null);
  const before = useRef(way);
  useEffect(() => {
    if (before.current === way) return;
    before.current = way;
    forms.current?.querySelector("input")?.focus();
  }, [way]);
  return (
    <div class="stack" ref={forms}>
      {way === "visit" && <Visit onDone={onDone} />}
      {way === "signIn" && <SignIn box={box} onDone={onDone} />}
      {way === "register" && <Register onDone={onDone} />}
      <div class="other-ways">
        {others.map((other) => (
          <button key={other} class="button bare" type="button" onClick={() => onWay(other)}>
            {texts.value.other[other]}
          </button>
        ))}
      </div>
    </div>
  );
}

/** What is typed in a form, sent once at a time. */
function useForm(ask: (entered: (name: string) => string) => Promise<unknown>, onDone: () => void) {
  const { failure, isBusy, run } = useAsking();
  const onSubmit = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    const entered = (name: string) => (name === "password" ? String(form.get(name)) : String(form.get(name)).trim());
    if (await run(() => ask(entered))) onDone();
  };
  return { failure, isBusy, onSubmit: (event: SubmitEvent) => void onSubmit(event) };
}

/** Whether the box could make nothing of what was filled in: a name is anything, an address is not. */
const isMisread = (failure: unknown): boolean => failure instanceof RefusedError && failure.code === "invalid_request";

function Visit({ onDone }: { onDone: () => void }) {
  const { failure, isBusy, onSubmit } = useForm((entered) => box.visit(entered("name"), entered("email")), onDone);
  const said = texts.value;
  return (
    <form class="stack" onSubmit={onSubmit}>
      <p class="soft">{said.visitHint}</p>
      <Field label={said.name} name="name" autocomplete="name" hint={said.nameHint} maxlength={100} required />
      <Field
        label={said.email}
        name="email"
        type="email"
        autocomplete="email"
        autocapitalize="none"
        maxlength={254}
        required
        hint={said.emailHint}
        error={failure === null ? null : isMisread(failure) ? said.notEmail : failureText(failure)}
      />
      <button class="button main wide-button" type="submit" aria-disabled={isBusy ? "true" : undefined}>
        {said.go.visit}
      </button>
    </form>
  );
}

function Register({ onDone }: { onDone: () => void }) {
  const { failure, isBusy, onSubmit } = useForm(
    (entered) =>
      box.register({
        username: entered("username"),
        password: entered("password"),
        name: entered("name"),
        email: entered("email"),
      }),
    onDone,
  );
  const isTaken = failure instanceof RefusedError && failure.status === 409;
  const said = texts.value;
  return (
    <form class="stack" onSubmit={onSubmit}>
      <Field label={said.name} name="name" autocomplete="name" maxlength={100} required />
      <Field
        label={said.email}
        name="email"
        type="email"
        autocomplete="email"
        autocapitalize="none"
        maxlength={254}
        required
      />
      <Field
        label={said.username}
        name="username"
        autocomplete="username"
        autocapitalize="none"
        hint={said.usernameHint}
        pattern="[a-z0-9._\-]{3,32}"
        required
        error={isTaken ? said.taken : null}
      />
      <NewPassword
        label={said.password}
        name="password"
        hint={said.passwordHint}
        error={failure === null || isTaken ? null : failureText(failure)}
      />
      <button class="button main wide-button" type="submit" aria-disabled={isBusy ? "true" : undefined}>
        {said.go.register}
      </button>
    </form>
  );
}
