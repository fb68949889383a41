/** What happens, as the box tells it; and what happened before the page was open, or while nothing could be told. */

import { effect, type ReadonlySignal, signal, untracked } from "@preact/signals";
import type { Box } from "../box/box";
import type { Showing } from "../box/wire";
import { type Happening, happeningOf, happeningsBetween, happeningsOf, withNews } from "./happenings";
import type { Programme } from "./programme";

/** How many bookings are asked for, and how long ago they may have happened: of the same day, so that a time tells when. */
const LATEST = 50;
const HALF_A_DAY = 12 * 60 * 60 * 1000;

export class News {
  private readonly told = signal<readonly Happening[]>([]);
  /** The latest first. */
  readonly happenings: ReadonlySignal<readonly Happening[]> = this.told;
  private before: readonly Showing[] | null = null;
  private readonly ends: readonly (() => void)[];

  constructor(box: Box, programme: Programme) {
    const following = effect(() => {
      const showings = box.showings.value;
      if (showings === null) return;
      if (this.before !== null) this.add(happeningsBetween(this.before, showings, box.now()));
      this.before = showings;
    });
    const listening = box.onConfirmation((confirmation) => {
      const happening = happeningOf(confirmation, programme.find(confirmation.showing_id ?? ""));
      if (happening !== null) this.add([happening]);
    });
    const catchingUp = effect(() => {
      if (box.renewed.value > 0) untracked(() => void this.catchUp(box));
    });
    this.ends = [following, listening, catchingUp];
  }

  dispose(): void {
    for (const end of this.ends) end();
  }

  /** Where this fails, the next present asks again. */
  private async catchUp(box: Box): Promise<void> {
    const latest = await box.http.bookings({ latest: `${LATEST}` }).catch(() => []);
    this.add(happeningsOf(latest, box.now(), HALF_A_DAY));
  }

  private add(news: readonly Happening[]): void {
    this.told.value = withNews(this.told.peek(), news);
  }
}
