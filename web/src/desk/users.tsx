/** Users: who they are, what they may, and whether they may sign in. */

import { useState } from "preact/hooks";
import type { ListedUser } from "../box/wire";
import { Field } from "../shared/field";
import { counted } from "../shared/language";
import { calledBy, matching } from "./accounts";
import { useDesk } from "./context";
import { useAsked } from "./lasting";
import { say } from "./navigation";
import { NewAccount } from "./new-account";
import { Action, Failure, Go, Heading } from "./parts";
import { texts } from "./texts";
import { UserChange } from "./user-change";

const SHOWN = 100;

export function UsersView({ isNew }: { isNew: boolean }) {
  const { box } = useDesk();
  const [text, setText] = useState("");
  const [isAdding, setAdding] = useState(false);
  const [changing, setChanging] = useState<ListedUser | null>(null);
  const asked = useAsked(() => box.http.users(), "", box.link.value === "live" ? box.renewed.value : 0);
  const said = texts.value.users;
  const found = matching(asked.value ?? [], text);
  return (
    <div class="stack">
      <div class="row apart">
        <Heading name={said.title} isNew={isNew}>
          {said.title}
        </Heading>
        <Action kind="main" onClick={() => setAdding(true)}>
          {said.add}
        </Action>
      </div>
      <div class="search-field">
        {" "}
        <Field
          label={said.search}
          type="search"
          autocomplete="off"
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
      </div>
      <Failure of={asked.failure} again={asked.again} />
      <p class="soft" role="status">
        {asked.value !== null && (found.length === 0 ? said.none : counted(found.length, said.count))}
        {found.length > SHOWN && ` ${said.first(SHOWN)}`}
      </p>
      {found.length > 0 && <UserTable users={found.slice(0, SHOWN)} onChange={setChanging} />}
      {isAdding && (
        <NewAccount
          onClose={() => setAdding(false)}
          onAdded={(username) => {
            setAdding(false);
            say(said.added(username));
            asked.again();
          }}
        />
      )}
      {changing !== null && (
        <UserChange
          user={changing}
          onClose={() => setChanging(null)}
          onChanged={(user) => {
            setChanging(null);
            say(said.saved(calledBy(user)));
            asked.again();
          }}
        />
      )}
    </div>
  );
}

function UserTable({ users, onChange }: { users: readonly ListedUser[]; onChange: (user: ListedUser) => void }) {
  const { user: self } = useDesk();
  const said = texts.value.users;
  return (
    <table class="table desk-table">
      <caption class="unseen">{said.title}</caption>
      <thead>
        <tr>
          <th scope="col">{said.name}</th>
          <th scope="col">{said.username}</th>
          <th scope="col">{said.email}</th>
          <th scope="col">{said.role}</th>
          <th scope="col">{said.state}</th>
          <th scope="col">{said.actions}</th>
        </tr>
      </thead>
      <tbody>
        {users.map((user) => (
          <tr key={user.user_id} data-active={user.is_active}>
            <th scope="row" data-label={said.name}>
              {calledBy(user)} {user.user_id === self.user_id && <span class="tag">{said.you}</span>}
            </th>
            <td data-label={said.username}>{user.username ?? "–"}</td>
            <td data-label={said.email}>{user.email ?? "–"}</td>
            <td data-label={said.role}>{said.roles[user.role]}</td>
            <td data-label={said.state}>
              <span class={`tag ${user.is_active ? "good" : "bad"}`}>
                {user.is_active ? said.active : said.inactive}
              </span>
            </td>
            <td data-label={said.actions}>
              <span class="row tight-row">
                <Action isSmall label={said.changeOf(calledBy(user))} onClick={() => onChange(user)}>
                  {said.change}
                </Action>
                <Go class="button small" to={{ view: "find", text: user.email ?? user.name ?? user.username ?? "" }}>
                  {said.bookings}
                  <span class="unseen"> ({calledBy(user)})</span>
                </Go>
              </span>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
