/** One's own account. */

import { useState } from "preact/hooks";
import { RefusedError } from "../box/http";
import { useAsking } from "../shared/asking";
import { Field } from "../shared/field";
import { isPassword } from "./accounts";
import { useDesk } from "./context";
import { say } from "./navigation";
import { Action, Failure, Heading } from "./parts";
import { texts } from "./texts";

export function AccountView({ isNew }: { isNew: boolean }) {
  const { box, user } = useDesk();
  const said = texts.value.account;
  return (
    <div class="stack narrow-view">
      <Heading name={said.title} isNew={isNew}>
        {said.title}
      </Heading>
      <dl class="pairs">
        <dt>{said.username}</dt>
        <dd>{user.username}</dd>
        <dt>{texts.value.users.name}</dt>
        <dd>{user.name ?? "–"}</dd>
        <dt>{texts.value.users.email}</dt>
        <dd>{user.email ?? "–"}</dd>
      </dl>
      <p>
        <Action onClick={() => void box.signOut()}>{texts.value.frame.signOut}</Action>
      </p>
      <PasswordForm />
    </div>
  );
}

function PasswordForm() {
  const { box, user } = useDesk();
  const [old, setOld] = useState("");
  const [password, setPassword] = useState("");
  const [isWrong, setWrong] = useState(false);
  const asking = useAsking();
  const said = texts.value.account;

  const sent = async (event: SubmitEvent) => {
    event.preventDefault();
    setWrong(!isPassword(password));
    if (!isPassword(password)) return;
    const isChanged = await asking.run(() => box.changePassword(user.username ?? "", old, password));
    if (!isChanged) return;
    setOld("");
    setPassword("");
    say(said.changed);
  };

  const isOldWrong = asking.failure instanceof RefusedError && asking.failure.code === "forbidden";
  return (
    <form class="stack card" aria-label={said.changePassword} noValidate onSubmit={(event) => void sent(event)}>
      <h2>{said.changePassword}</h2>
      {/* So that a browser that keeps passwords knows whose it is. */}
      <input
        class="unseen"
        type="text"
        autocomplete="username"
        value={user.username ?? ""}
        readOnly
        tabIndex={-1}
        aria-hidden="true"
      />
      <Field
        label={said.old}
        type="password"
        autocomplete="current-password"
        value={old}
        required
        error={isOldWrong ? said.oldWrong : null}
        onInput={(event) => {
          setOld(event.currentTarget.value);
          asking.forget();
        }}
      />
      <Field
        label={said.new}
        hint={said.hint}
        type="password"
        autocomplete="new-password"
        value={password}
        required
        error={isWrong ? texts.value.users.problems.password : null}
        onInput={(event) => {
          setPassword(event.currentTarget.value);
          setWrong(false);
        }}
      />
      {!isOldWrong && <Failure of={asking.failure} />}
      <p>
        <Action type="submit" kind="main" isBusy={asking.isBusy} busy={said.changing}>
          {said.change}
        </Action>
      </p>
    </form>
  );
}
