/** A form for a username and a password. Needs the box; `onDone` is called with who signed in, `isWelcome` may say who
 * is not (the desk's page: only managers), with the sentence why, and is asked before anybody is told. */

import { useState } from "preact/hooks";
import type { Box } from "../box/box";
import { RefusedError } from "../box/http";
import type { User } from "../box/wire";
import { Field } from "./Field";
import { inLanguage } from "./language";
import { failureText } from "./refusals";

const texts = inLanguage({
  en: { username: "Username", password: "Password", go: "Sign in", wrong: "This username and password do not match." },
  nl: {
    username: "Gebruikersnaam",
    password: "Wachtwoord",
    go: "Inloggen",
    wrong: "Deze gebruikersnaam en dit wachtwoord horen niet bij elkaar.",
  },
});

export interface SignInProps {
  box: Box;
  onDone?: (user: User) => void;
  isWelcome?: (user: User) => string | null;
}

export function SignIn({ box, onDone, isWelcome }: SignInProps) {
  const [error, setError] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const sent = async (event: SubmitEvent) => {
    event.preventDefault();
    if (isBusy) return;
    const entered = new FormData(event.target as HTMLFormElement);
    setBusy(true);
    setError(null);
    try {
      const user = await box.signIn(String(entered.get("username")).trim(), String(entered.get("password")));
      const objection = isWelcome?.(user) ?? null;
      if (objection === null) onDone?.(user);
      else {
        setError(objection);
        await box.signOut();
      }
    } catch (failure) {
      setError(failure instanceof RefusedError && failure.status === 401 ? texts.value.wrong : failureText(failure));
    } finally {
      setBusy(false);
    }
  };
  const said = texts.value;
  return (
    <form class="stack" onSubmit={(event) => void sent(event)}>
      <Field label={said.username} name="username" autocomplete="username" autocapitalize="none" required />
      <Field
        label={said.password}
        name="password"
        type="password"
        autocomplete="current-password"
        required
        error={error}
      />
      <button class="button main wide-button" type="submit" aria-disabled={isBusy ? "true" : undefined}>
        {said.go}
      </button>
    </form>
  );
}
