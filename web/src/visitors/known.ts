/** What this page knows of bookings without asking: shown at once, and when nobody answers. */

import type { Confirmation } from "../box/wire";

export interface KnownBooking {
  confirmation: Confirmation;
  showing?: { title: string; starts_at: string; ends_at: string; room: string } | undefined;
  seats?: readonly { row: string; number: number }[] | undefined;
  /** Whether it was made just now. */
  isNew?: boolean;
}

export const remembered = new Map<string, KnownBooking>();
