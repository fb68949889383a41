/** Choosing the customer for whom a booking is made, among the accounts. */

import { useState } from "preact/hooks";
import type { ListedUser } from "../box/wire";
import { Field } from "../shared/field";
import { calledBy, matching } from "./accounts";
import { useDesk } from "./context";
import { useAsked } from "./lasting";
import { Action, Failure } from "./parts";
import { texts } from "./texts";

const SHOWN = 6;

export interface CustomerChoiceProps {
  chosen: ListedUser | null;
  onChosen: (user: ListedUser | null) => void;
}

export function CustomerChoice({ chosen, onChosen }: CustomerChoiceProps) {
  const { box } = useDesk();
  const [text, setText] = useState("");
  const isAsked = text.trim() !== "";
  const asked = useAsked(() => (isAsked ? box.http.users() : Promise.resolve([])), String(isAsked), 0);
  const said = texts.value.sale;
  if (chosen !== null) {
    return (
      <p class="row apart">
        <strong>{said.chosenCustomer(calledBy(chosen))}</strong>
        <Action isSmall onClick={() => onChosen(null)}>
          {said.remove}
        </Action>
      </p>
    );
  }
  const found = isAsked
    ? matching(asked.value ?? [], text).filter(({ is_active, role }) => is_active && role !== "kiosk")
    : [];
  return (
    <div class="stack tight">
      <Field
        label={said.customer}
        type="search"
        autocomplete="off"
        hint={said.customerHint}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <Failure of={asked.failure} again={asked.again} />
      <ul class="stack tight">
        {found.slice(0, SHOWN).map((user) => (
          <li key={user.user_id}>
            <button
              class="found-customer"
              type="button"
              onClick={() => {
                onChosen(user);
                setText("");
              }}
            >
              {calledBy(user)} <span class="soft small">{user.email ?? user.username}</span>
            </button>
          </li>
        ))}
      </ul>
      {isAsked && asked.value !== null && found.length === 0 && (
        <p class="soft small" role="status">
          {said.noCustomer}
        </p>
      )}
    </div>
  );
}
