import { describe, expect, test } from "vitest";
import { LONGEST_EMAIL } from "../../src/core/email";
import { KEY_ROWS, type Key, typed } from "../../src/kiosk/email";

const key = (text: string): Key => {
  const found = KEY_ROWS.flat().find((one) => one.kind !== "backspace" && one.text === text);
  if (found === undefined) throw new Error(`no key ${text}`);
  return found;
};
const type = (...keys: string[]): string => keys.reduce((text, name) => typed(text, key(name)), "");

describe("the keyboard for e-mail addresses", () => {
  test("has every letter and digit, and what else an address needs", () => {
    for (const character of "abcdefghijklmnopqrstuvwxyz0123456789@.-_+") expect(() => key(character)).not.toThrow();
  });

  test("writes what is touched", () => {
    expect(type("j", "o", "@", "x", ".", "n", "l")).toBe("jo@x.nl");
    expect(typed("jo", { kind: "backspace" })).toBe("j");
    expect(typed("", { kind: "backspace" })).toBe("");
  });

  test("one touch writes all that stands behind the @", () => {
    expect(type("j", "o", "gmail.com")).toBe("jo@gmail.com");
    expect(type("j", "o", "@", "gmail.com")).toBe("jo@gmail.com");
    expect(type("j", "o", "gmail.com", "outlook.com")).toBe("jo@outlook.com");
    expect(type("gmail.com")).toBe("");
  });

  test("an ending follows a dot, and takes the place of another ending", () => {
    expect(type("j", "@", "x", ".nl")).toBe("j@x.nl");
    expect(type("j", "@", "x", ".", ".nl")).toBe("j@x.nl");
    expect(type("j", "@", "x", ".nl", ".com")).toBe("j@x.com");
  });

  test("takes nothing that no address has", () => {
    expect(type("j", "@", "@", "x")).toBe("j@x");
    expect(type("j", ".", ".", "x")).toBe("j.x");
    expect(typed("x".repeat(LONGEST_EMAIL), key("y"))).toBe("x".repeat(LONGEST_EMAIL));
  });
});
