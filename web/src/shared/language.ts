/** The reader's language, and what is written in it. */

import { computed, effect, type ReadonlySignal, signal } from "@preact/signals";
import { clockTime, dayInWords, dayOf } from "../core/days";
import { chosenFrom, LANGUAGES, type Language, spokenAt } from "../core/languages";
import { price } from "../core/money";

const KEPT = "lynrie.language";

/** What the reader prefers, the most wanted first. */
function wanted(): string[] {
  try {
    return [localStorage.getItem(KEPT) ?? "", ...navigator.languages];
  } catch {
    return [...navigator.languages]; // a browser that keeps nothing is asked each time
  }
}

const _spoken = signal<readonly Language[]>(LANGUAGES);
/** Those that one can choose from. */
export const spoken: ReadonlySignal<readonly Language[]> = _spoken;

const current = signal<Language>(chosenFrom(LANGUAGES, wanted()));
export const language: ReadonlySignal<Language> = current;

/** Speak what the cinema does, as soon as that is known. */
export function speakAs(cinema: ReadonlySignal<{ languages: readonly string[] } | null>): void {
  effect(() => {
    if (cinema.value === null) return;
    _spoken.value = spokenAt(cinema.value.languages);
    if (!_spoken.value.includes(current.peek())) current.value = chosenFrom(_spoken.value, wanted());
  });
}

effect(() => {
  document.documentElement.lang = current.value;
});

/** Read on in another language, also the next time. */
export function speak(chosen: Language): void {
  current.value = chosen;
  try {
    localStorage.setItem(KEPT, chosen);
  } catch {
    // Then for this time only.
  }
}

/** Texts in all languages, of which the reader's is the value. Write `const texts = inLanguage({ en: {…}, nl: {…} })`
 * and `texts.value.hello`; the compiler sees to it that all languages say the same. */
export function inLanguage<T>(texts: { en: T; nl: NoInfer<T> }): ReadonlySignal<T> {
  return computed(() => texts[current.value]);
}

const plurals = computed(() => new Intl.PluralRules(current.value));

/** “1 seat”, “2 seats”: `forms` by the language's own plural categories, with `#` for the number. */
export function counted(count: number, forms: { one: string; other: string }): string {
  const category = plurals.value.select(count) === "one" ? "one" : "other";
  return forms[category].replace("#", String(count));
}

// Moments are in milliseconds or ISO 8601, and shown by the cinema's clock.

const inMilliseconds = (moment: number | string): number => (typeof moment === "string" ? Date.parse(moment) : moment);

export const timeText = (moment: number | string, timezone: string): string =>
  clockTime(inMilliseconds(moment), current.value, timezone);

/** As the first word of a line: Dutch writes its days small. */
export const capitalised = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);

/** “Thursday 31 January”. */
export const dayText = (moment: number | string, timezone: string, style: "long" | "short" = "long"): string =>
  dayInWords(dayOf(inMilliseconds(moment), timezone), current.value, style);

/** A day such as `2030-01-31` in words. */
export const dateText = (day: string, style: "long" | "short" = "long"): string =>
  dayInWords(day, current.value, style);

export const priceText = (inCents: number, currency: string): string => price(inCents, currency, current.value);
