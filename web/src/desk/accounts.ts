/** Accounts: which are looked for, and what a new one needs. */

import type { ListedUser } from "../box/wire";
import { isEmail } from "../core/email";

export const SHORTEST_PASSWORD = 10;
const LONGEST_PASSWORD = 1024;
const USERNAME = /^[a-z0-9._-]{3,32}$/;

export type AccountRole = "customer" | "kiosk" | "manager";
export const ACCOUNT_ROLES: readonly AccountRole[] = ["customer", "kiosk", "manager"];

export interface AccountDraft {
  username: string;
  password: string;
  role: AccountRole;
  name: string;
  email: string;
}

export type AccountProblem = "username" | "password" | "email";

/** The box counts bytes; so does this. */
export function isPassword(text: string): boolean {
  const bytes = new TextEncoder().encode(text).length;
  return bytes >= SHORTEST_PASSWORD && bytes <= LONGEST_PASSWORD;
}

export function problemsOf(draft: AccountDraft): ReadonlySet<AccountProblem> {
  const problems = new Set<AccountProblem>();
  if (!USERNAME.test(draft.username)) problems.add("username");
  if (!isPassword(draft.password)) problems.add("password");
  if (draft.email.trim() !== "" && !isEmail(draft.email)) problems.add("email");
  return problems;
}

/** What is sent: nothing that was left empty. */
export function accountOf(draft: AccountDraft) {
  const [name, email] = [draft.name.trim(), draft.email.trim()];
  return {
    username: draft.username,
    password: draft.password,
    role: draft.role,
    ...(name === "" ? {} : { name }),
    ...(email === "" ? {} : { email }),
  };
}

/** Whoever has all the words in their name, username or e-mail; who may sign in first, then by name. */
export function matching(users: readonly ListedUser[], text: string): readonly ListedUser[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const said = (user: ListedUser) => `${user.username ?? ""} ${user.name ?? ""} ${user.email ?? ""}`.toLowerCase();
  return users
    .filter((user) => words.every((word) => said(user).includes(word)))
    .sort(
      (one, other) => Number(other.is_active) - Number(one.is_active) || calledBy(one).localeCompare(calledBy(other)),
    );
}

/** What to call somebody. */
export function calledBy(user: Pick<ListedUser, "name" | "username" | "email">): string {
  return user.name || user.username || user.email || "";
}
