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
  private readonly ends: readonly (() => void)[];

  constructor(box: Box, programme: Programme) {
    const following = effect(() => {
      const showings = box.showings.value;
      // Until all have been asked for once, what appears is not new.
      if (showings === null || box.renewed.value === 0) return;
      if (this.before !== null) this.add(happeningsBetween(this.before, showings, box.now()));
      this.before = showings;
    });
    const listening = box.onConfirmation((confirmation) => {
      const happening = happeningOf(confirmation, programme.find(confirmation.showing_id ?? ""));
      if (happening !== null) this.add([happening]);
    });
    this.ends = [following, listening];
  }

  dispose(): void {
    for (const end of this.ends) end();
  }

  private add(news: readonly Happening[]): void {
    this.told.value = withNews(this.told.peek(), news);
  }
}
