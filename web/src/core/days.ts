/** Moments as people of the cinema read them: by the cinema's own days and clock, in the reader's language. */

const MINUTE = 60_000;

const formats = new Map<string, Intl.DateTimeFormat>();

function formatted(moment: number, language: string, timezone: string, options: Intl.DateTimeFormatOptions): string {
  const key = JSON.stringify([language, timezone, options]);
  let format = formats.get(key);
  if (format === undefined) {
    format = new Intl.DateTimeFormat(language, { timeZone: timezone, ...options });
    formats.set(key, format);
  }
  return format.format(moment);
}

/** The cinema's day of a moment, as `2030-01-31`. */
export function dayOf(moment: number, timezone: string): string {
  return formatted(moment, "en-CA", timezone, { year: "numeric", month: "2-digit", day: "2-digit" });
}

/** The day so many days after another, as `2030-01-31`. */
export function dayAfter(day: string, days = 1): string {
  return new Date(Date.parse(`${day}T12:00:00Z`) + days * 1440 * MINUTE).toISOString().slice(0, 10);
}

/** How a day is called: today, tomorrow, or by its date. */
export function nearness(day: string, timezone: string, now: number): "today" | "tomorrow" | "later" {
  const today = dayOf(now, timezone);
  if (day === today) return "today";
  return day === dayAfter(today) ? "tomorrow" : "later";
}

/** `20:00`, by the cinema's clock. */
export function clockTime(moment: number, language: string, timezone: string): string {
  return formatted(moment, language === "en" ? "en-GB" : language, timezone, { hour: "2-digit", minute: "2-digit" });
}

/** A day in words: “Thursday 31 January”. */
export function dayInWords(day: string, language: string, style: "long" | "short" = "long"): string {
  return formatted(Date.parse(`${day}T12:00:00Z`), language === "en" ? "en-GB" : language, "UTC", {
    weekday: style,
    day: "numeric",
    month: style,
  });
}

/** The moment at which the cinema's clock shows `time` (`20:00`) on `day`: milliseconds since 1970. Of a time that a
 * clock change repeats it is the second; one that it skips is as much later. */
export function momentOf(day: string, time: string, timezone: string): number {
  const asUtc = Date.parse(`${day}T${time}:00Z`);
  let moment = asUtc;
  for (let turn = 0; turn < 2; turn += 1) moment = asUtc - offsetAt(moment, timezone);
  return moment;
}

/** `20:00` for `<input type="time">`. */
export function timeOf(moment: number, timezone: string): string {
  return formatted(moment, "en-GB", timezone, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

function offsetAt(moment: number, timezone: string): number {
  const [day, time] = [dayOf(moment, timezone), timeOf(moment, timezone)];
  return Date.parse(`${day}T${time}:00Z`) - Math.floor(moment / MINUTE) * MINUTE;
}

/** Days with what begins on them, both in order. */
export function byDay<T extends { starts_at: string }>(showings: readonly T[], timezone: string): [string, T[]][] {
  const days = new Map<string, T[]>();
  for (const showing of [...showings].sort((one, other) => Date.parse(one.starts_at) - Date.parse(other.starts_at))) {
    const day = dayOf(Date.parse(showing.starts_at), timezone);
    days.set(day, [...(days.get(day) ?? []), showing]);
  }
  return [...days];
}

/** What is left of a countdown: `4:59`; never less than `0:00`. */
export function remaining(milliseconds: number): string {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
