/** Which of the languages that the pages are written in are spoken, and which of them to whom. */

export const LANGUAGES = ["en", "nl"] as const;
export type Language = (typeof LANGUAGES)[number];

const primary = (tag: string): string => tag.toLowerCase().split("-")[0] ?? "";

/** Those of the cinema's languages that the pages are written in, the cinema's first one first. A cinema of which none
 * is has all of them. */
export function spokenAt(cinemas: readonly string[]): readonly Language[] {
  const spoken = new Set(cinemas.flatMap((tag) => LANGUAGES.filter((language) => language === primary(tag))));
  return spoken.size === 0 ? LANGUAGES : [...spoken];
}

/** The first of the reader's languages that is spoken; where none is, the first that is spoken. */
export function chosenFrom(spoken: readonly Language[], readers: readonly string[]): Language {
  const found = readers.flatMap((tag) => spoken.filter((language) => language === primary(tag)))[0];
  return found ?? spoken[0] ?? "en";
}
