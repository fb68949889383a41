/** A form for a username and a password. Needs the box; `onDone` is called with who signed in. Of whom a page is not for,
 * as a visitor at a kiosk, `isWelcome` gives the sentence why: they are signed out again. */

import { useState } from "preact/hooks";
import type { Box } from "../box/box";
import { RefusedError } from "../box/http";
import type { User } from "../box/wire";
import { useAsking } from "./asking";
import { Field } from "./field";
import { inLanguage } from "./language";
import { failureText } from "./refusals";

const texts = inLanguage({
  en: {
    username: "Username",
    password: "Password",
    go: "Sign in",
    wrong: "That username and password don’t match. Forgotten your password? Ask at the desk.",
  },
  nl: {
    username: "Gebruikersnaam",
    password: "Wachtwoord",
    go: "Inloggen",
    wrong: "Gebruikersnaam of wachtwoord klopt niet. Wachtwoord vergeten? Aan de kassa helpen we je graag.",
  },
});

export interface SignInProps {
  box: Box;
  onDone?: (user: User) => void;
  isWelcome?: (user: User) => string | null;
}

export function SignIn({ box, onDone, isWelcome }: SignInProps) {
  const asking = useAsking();
  const [objection, setObjection] = useState<string | null>(null);
  const sent = (event: SubmitEvent) => {
    event.preventDefault();
    const entered = new FormData(event.target as HTMLFormElement);
    return asking.run(async () => {
      setObjection(null);
      const user = await box.signIn(String(entered.get("username")).trim(), String(entered.get("password")));
      const why = isWelcome?.(user) ?? null;
      if (why === null) onDone?.(user);
      else {
        setObjection(why);
        await box.signOut();
      }
    });
  };
  const { failure, isBusy } = asking;
  const isWrong = failure instanceof RefusedError && failure.status === 401;
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
        error={objection ?? (isWrong ? said.wrong : failure === null ? null : failureText(failure))}
      />
      <button class="button main wide-button" type="submit" aria-disabled={isBusy ? "true" : undefined}>
        {said.go}
      </button>
    </form>
  );
}
