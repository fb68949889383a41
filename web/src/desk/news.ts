/** What happens while the page is open, as the box tells it. */

import { effect, type ReadonlySignal, signal } from "@preact/signals";
import type { Box } from "../box/box";
import type { Showing } from "../box/wire";
import { type Happening, happeningOf, happeningsBetween, withNews } from "./happenings";
import type { Programme } from "./programme";

export class News {
  private readonly told = signal<readonly Happening[]>([]);
  /** The latest first. */
  readonly happenings: ReadonlySignal<readonly Happening[]> = this.told;
  private before: readonly Showing[] | null = null;

  constructor(box: Box, programme: Programme) {
    effect(() => {
      const showings = box.showings.value;
      // Until all have been asked for once, what appears is not new.
      if (showings === null || box.renewed.value === 0) return;
      if (this.before !== null) this.add(happeningsBetween(this.before, showings, box.now()));
      this.before = showings;
    });
    box.onConfirmation((confirmation) => {
      const happening = happeningOf(confirmation, programme.find(confirmation.showing_id ?? ""));
      if (happening !== null) this.add([happening]);
    });
  }

  private add(news: readonly Happening[]): void {
    this.told.value = withNews(this.told.peek(), news);
  }
}
