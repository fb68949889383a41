/** Which view an address means. All is behind `#`, so that a key in it reaches no server and no log. */

export type Route =
  | { view: "programme" }
  | { view: "showing"; showingId: string }
  | { view: "booking"; bookingId: string; key: string }
  | { view: "bookings" }
  | { view: "account" };

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** What stands behind `#`, as a view; the programme, where it means nothing. */
export function routeOf(hash: string): Route {
  const [view, id = "", key = ""] = hash.replace(/^#?\/?/, "").split("/");
  if (view === "showing" && ID.test(id)) return { view, showingId: id };
  if (view === "booking" && ID.test(id) && key !== "") return { view, bookingId: id, key };
  if (view === "bookings" || view === "account") return { view };
  return { view: "programme" };
}

export const addressOf = {
  programme: "#/",
  bookings: "#/bookings",
  account: "#/account",
  showing: (showingId: string) => `#/showing/${showingId}`,
  booking: (bookingId: string, key: string) => `#/booking/${bookingId}/${key}`,
};
