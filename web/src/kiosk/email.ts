/** E-mail addresses typed by finger: what the keys do. */

import { LONGEST_EMAIL } from "../core/email";

export type Key =
  | { kind: "text"; text: string }
  /** The end of an address, such as `.nl`. */
  | { kind: "ending"; text: string }
  /** All that stands behind the @. */
  | { kind: "domain"; text: string }
  | { kind: "backspace" };

const textKeys = (characters: string): Key[] => [...characters].map((text) => ({ kind: "text", text }));

export const KEY_ROWS: readonly (readonly Key[])[] = [
  textKeys("1234567890"),
  textKeys("qwertyuiop"),
  textKeys("asdfghjkl-"),
  textKeys("zxcvbnm_+."),
  [
    { kind: "text", text: "@" },
    { kind: "ending", text: ".nl" },
    { kind: "ending", text: ".com" },
    { kind: "backspace" },
  ],
  ["gmail.com", "hotmail.com", "outlook.com", "ziggo.nl"].map((text) => ({ kind: "domain", text })),
];

/** The text after a key. What can stand in no address is not taken: a second @, a second dot in a row. */
export function typed(text: string, key: Key): string {
  const at = text.indexOf("@");
  const next = () => {
    switch (key.kind) {
      case "backspace":
        return text.slice(0, -1);
      case "domain":
        return at === 0 || text === "" ? text : `${at < 0 ? text : text.slice(0, at)}@${key.text}`;
      case "ending":
        // An ending is changed by another one: whoever touched the wrong key needs no backspace.
        return `${text.replace(/\.(nl|com)?$/, "")}${key.text}`;
      case "text":
        if (key.text === "@" && at >= 0) return text;
        if (key.text === "." && text.endsWith(".")) return text;
        return text + key.text;
    }
  };
  const result = next();
  return result.length > LONGEST_EMAIL ? text : result;
}
