import { describe, expect, it } from "vitest";
import { type AccountDraft, accountOf, matching, problemsOf } from "../../src/desk/accounts";
import { user } from "./fixtures";

const draft: AccountDraft = { username: "carol", password: "long enough", role: "kiosk", name: " ", email: "" };

describe("a new account", () => {
  it("is sent without what was left empty", () => {
    expect(problemsOf(draft).size).toBe(0);
    expect(accountOf(draft)).toEqual({ username: "carol", password: "long enough", role: "kiosk" });
  });

  it("needs a username, a password and an e-mail address that are ones", () => {
    expect([...problemsOf({ ...draft, username: "Ca", password: "short", email: "carol@" })]).toEqual([
      "username",
      "password",
      "email",
    ]);
  });

  it("counts a password's bytes, as the box does", () => {
    expect(problemsOf({ ...draft, password: "ééééé" }).size).toBe(0);
  });
});

describe("users", () => {
  const [alice, bob, kiosk] = [
    user(),
    user({ user_id: "bob", username: "bob", name: "Bob Vries", email: null }),
    user({ user_id: "kiosk", username: "kiosk", name: null, email: null, is_active: false }),
  ];

  it("are found by all the words, wherever they stand", () => {
    expect(matching([alice, bob, kiosk], "vries ALICE")).toEqual([alice]);
    expect(matching([alice, bob, kiosk], "vries")).toEqual([alice, bob]);
  });

  it("come by name, those who may not sign in last", () => {
    expect(matching([kiosk, bob, alice], "")).toEqual([alice, bob, kiosk]);
    const gone = user({ name: "Aaron", is_active: false });
    expect(matching([gone, alice], "")).toEqual([alice, gone]);
  });
});
