/** Days as somebody calls them who stands in one: “Today”, “Tomorrow, Friday 1 February”. */

import { nearness } from "../core/days";
import { capitalised, dateText, inLanguage } from "./language";

const texts = inLanguage({
  en: { today: "Today", tomorrow: "Tomorrow" },
  nl: { today: "Vandaag", tomorrow: "Morgen" },
});

/** “Today”, “Tomorrow”, or null for another day. */
export function nearDayText(day: string, now: number, timezone: string): string | null {
  const near = nearness(day, timezone, now);
  return near === "later" ? null : texts.value[near];
}

/** “Tomorrow, Friday 1 February”, as a line of its own. */
export function fullDayText(day: string, now: number, timezone: string): string {
  const near = nearDayText(day, now, timezone);
  return near === null ? capitalised(dateText(day)) : `${near}, ${dateText(day)}`;
}
