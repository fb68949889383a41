/** A new account, of any role. */

import { useRef, useState } from "preact/hooks";
import { RefusedError } from "../box/http";
import { useAsking } from "../shared/asking";
import { Dialog } from "../shared/dialog";
import { Field } from "../shared/field";
import { capitalised } from "../shared/language";
import {
  ACCOUNT_ROLES,
  type AccountDraft,
  type AccountProblem,
  type AccountRole,
  accountOf,
  problemsOf,
} from "./accounts";
import { useDesk } from "./context";
import { Action, Failure } from "./parts";
import { focusFirstProblem } from "./showing-fields";
import { texts } from "./texts";

export function NewAccount({ onClose, onAdded }: { onClose: () => void; onAdded: (username: string) => void }) {
  const { box } = useDesk();
  const [draft, setDraft] = useState<AccountDraft>({
    username: "",
    password: "",
    role: "customer",
    name: "",
    email: "",
  });
  const [problems, setProblems] = useState<ReadonlySet<AccountProblem>>(new Set());
  const asking = useAsking();
  const form = useRef<HTMLFormElement>(null);
  const said = texts.value.users;
  const set =
    (field: keyof AccountDraft) =>
    ({ currentTarget }: { currentTarget: HTMLInputElement }) =>
      setDraft({ ...draft, [field]: currentTarget.value });
  const problem = (field: AccountProblem) => (problems.has(field) ? said.problems[field] : null);

  const sent = async (event: SubmitEvent) => {
    event.preventDefault();
    const found = problemsOf(draft);
    setProblems(found);
    if (found.size > 0) {
      focusFirstProblem(form.current);
      return;
    }
    await asking.run(async () => {
      await box.http.addUser(accountOf(draft));
      onAdded(draft.username);
    });
  };

  const isTaken = asking.failure instanceof RefusedError && asking.failure.code === "conflict";
  return (
    <Dialog title={said.add} onClose={onClose} isStaying={asking.isBusy}>
      <form class="stack" ref={form} noValidate onSubmit={(event) => void sent(event)}>
        <Field
          label={said.username}
          hint={said.usernameHint}
          autocomplete="off"
          autocapitalize="none"
          value={draft.username}
          required
          error={problem("username")}
          onInput={set("username")}
        />
        <Field
          label={said.password}
          hint={said.passwordHint}
          type="password"
          autocomplete="new-password"
          value={draft.password}
          required
          error={problem("password")}
          onInput={set("password")}
        />
        <Field label={said.role}>
          {(tied) => (
            <select
              {...tied}
              value={draft.role}
              onChange={(event) => setDraft({ ...draft, role: event.currentTarget.value as AccountRole })}
            >
              {ACCOUNT_ROLES.map((role) => (
                <option key={role} value={role}>
                  {capitalised(said.roles[role])}: {said.roleHints[role]}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field label={said.name} hint={said.optional} autocomplete="off" value={draft.name} onInput={set("name")} />
        <Field
          label={said.email}
          hint={said.optional}
          type="email"
          autocomplete="off"
          value={draft.email}
          error={problem("email")}
          onInput={set("email")}
        />
        <Failure of={asking.failure} text={isTaken ? said.taken : null} />
        <div class="dialog-foot">
          <Action isDisabled={asking.isBusy} onClick={onClose}>
            {texts.value.frame.back}
          </Action>
          <Action type="submit" kind="main" isBusy={asking.isBusy} busy={said.creating}>
            {said.create}
          </Action>
        </div>
      </form>
    </Dialog>
  );
}
