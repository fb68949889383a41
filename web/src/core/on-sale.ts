/** Until when a showing is sold. */

/** Whether a showing can still be booked at a moment: sales close so many minutes after the start. */
export function isOnSale(
  showing: { starts_at: string; status: "scheduled" | "cancelled" },
  salesCloseMinutes: number,
  now: number,
): boolean {
  return showing.status === "scheduled" && now < Date.parse(showing.starts_at) + salesCloseMinutes * 60_000;
}
