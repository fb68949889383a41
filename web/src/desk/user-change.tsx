/** Changing a user's role, password or access. */

import { useState } from "preact/hooks";
import { RefusedError } from "../box/http";
import type { ListedUser } from "../box/wire";
import { useAsking } from "../shared/asking";
import { Dialog } from "../shared/dialog";
import { Field } from "../shared/field";
import { capitalised } from "../shared/language";
import { ACCOUNT_ROLES, calledBy, isPassword } from "./accounts";
import { useDesk } from "./context";
import { Action, Failure } from "./parts";
import { texts } from "./texts";

export interface UserChangeProps {
  user: ListedUser;
  onClose: () => void;
  onChanged: (user: ListedUser) => void;
}

export function UserChange({ user, onClose, onChanged }: UserChangeProps) {
  const { box, user: self } = useDesk();
  const [role, setRole] = useState<string>(user.role);
  const [password, setPassword] = useState("");
  const [isPasswordWrong, setPasswordWrong] = useState(false);
  const [isActive, setActive] = useState(user.is_active);
  const [cancelBookings, setCancelBookings] = useState(false);
  const asking = useAsking();
  const said = texts.value.users;
  const hasAccount = user.username !== null;
  const isSelf = user.user_id === self.user_id;

  const sent = async (event: SubmitEvent) => {
    event.preventDefault();
    const isWrong = password !== "" && !isPassword(password);
    setPasswordWrong(isWrong);
    if (isWrong) return;
    const changes = {
      ...(role === user.role ? {} : { role }),
      ...(password === "" ? {} : { password }),
      ...(isActive === user.is_active ? {} : { is_active: isActive }),
      ...(!isActive && user.is_active && cancelBookings ? { cancel_bookings: true } : {}),
    };
    if (Object.keys(changes).length === 0) {
      onClose();
      return;
    }
    await asking.run(async () => onChanged(await box.http.changeUser(user.user_id, changes)));
  };

  const sentence = (failure: unknown) => {
    if (!(failure instanceof RefusedError) || failure.code !== "conflict") return null;
    return hasAccount ? said.lastManager : said.noAccount;
  };

  return (
    <Dialog title={said.changeOf(calledBy(user))} onClose={onClose} isStaying={asking.isBusy}>
      <form class="stack" noValidate onSubmit={(event) => void sent(event)}>
        {isSelf && <p class="notice">{said.yourself}</p>}
        {hasAccount && (
          <>
            <Field label={said.role} {...(isSelf ? {} : { hint: said.endsSession })}>
              {(tied) => (
                <select {...tied} value={role} onChange={(event) => setRole(event.currentTarget.value)}>
                  {ACCOUNT_ROLES.map((one) => (
                    <option key={one} value={one}>
                      {capitalised(said.roles[one])}: {said.roleHints[one]}
                    </option>
                  ))}
                </select>
              )}
            </Field>
            <Field
              label={said.newPassword}
              hint={said.newPasswordHint}
              type="password"
              autocomplete="new-password"
              value={password}
              error={isPasswordWrong ? said.problems.password : null}
              onInput={(event) => {
                setPassword(event.currentTarget.value);
                setPasswordWrong(false);
              }}
            />
          </>
        )}
        <label class="check">
          <input type="checkbox" checked={isActive} onChange={(event) => setActive(event.currentTarget.checked)} />
          {said.maySignIn}
        </label>
        {user.is_active && !isActive && (
          <>
            <p class="soft small">{said.deactivating}</p>
            <label class="check">
              <input
                type="checkbox"
                checked={cancelBookings}
                onChange={(event) => setCancelBookings(event.currentTarget.checked)}
              />
              {said.cancelToo}
            </label>
          </>
        )}
        <Failure of={asking.failure} text={sentence(asking.failure)} />
        <div class="dialog-foot">
          <Action isDisabled={asking.isBusy} onClick={onClose}>
            {texts.value.frame.back}
          </Action>
          <Action type="submit" kind="main" isBusy={asking.isBusy} busy={said.saving}>
            {said.save}
          </Action>
        </div>
      </form>
    </Dialog>
  );
}
