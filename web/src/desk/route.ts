/** Where one is on the page: each view has an address behind `#`, so that it can be kept, sent and gone back to. */

export type Route =
  | { view: "today"; day: string | null }
  | { view: "showing"; showingId: string; bookingId: string | null }
  | { view: "change"; showingId: string }
  | { view: "new"; repeats: string | null }
  | { view: "find"; text: string }
  | { view: "users" }
  | { view: "account" };

export type View = Route["view"];

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const DAY = /^\d{4}-\d{2}-\d{2}$/;

const TODAY: Route = { view: "today", day: null };

/** What an address such as `#/showing/…` shows; whatever is none shows today. */
export function routeOf(hash: string): Route {
  const [first = "", second = "", third = "", fourth = ""] = hash
    .replace(/^#?\/?/, "")
    .split("/")
    .map(unescaped);
  switch (first) {
    case "day":
      return isDay(second) ? { view: "today", day: second } : TODAY;
    case "showing":
      if (!ID.test(second)) return TODAY;
      if (third === "change") return { view: "change", showingId: second };
      return {
        view: "showing",
        showingId: second,
        bookingId: third === "booking" && ID.test(fourth) ? fourth : null,
      };
    case "new":
      return { view: "new", repeats: ID.test(second) ? second : null };
    case "find":
      return { view: "find", text: second };
    case "users":
    case "account":
      return { view: first };
    default:
      return TODAY;
  }
}

/** The address of a view. */
export function addressOf(route: Route): string {
  switch (route.view) {
    case "today":
      return route.day === null ? "#/" : `#/day/${route.day}`;
    case "showing":
      return `#/showing/${route.showingId}${route.bookingId === null ? "" : `/booking/${route.bookingId}`}`;
    case "change":
      return `#/showing/${route.showingId}/change`;
    case "new":
      return route.repeats === null ? "#/new" : `#/new/${route.repeats}`;
    case "find":
      return route.text === "" ? "#/find" : `#/find/${encodeURIComponent(route.text)}`;
    default:
      return `#/${route.view}`;
  }
}

/** Whether this is a day of the calendar, such as `2030-01-31`. */
export function isDay(text: string): boolean {
  const moment = DAY.test(text) ? Date.parse(`${text}T12:00:00Z`) : Number.NaN;
  return !Number.isNaN(moment) && new Date(moment).toISOString().startsWith(text);
}

function unescaped(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
