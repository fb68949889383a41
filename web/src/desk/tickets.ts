/** The address of a booking's ticket, as its QR code carries it. */

import type { Confirmation } from "../box/wire";

/** The key stands behind `#`, where it is sent to nobody; undefined where it is not known. */
export function addressOfTicket({ booking_id, key }: Confirmation, origin = location.origin): string | undefined {
  return key === undefined ? undefined : `${origin}/#/booking/${booking_id}/${key}`;
}
