/** All showings that the page has heard of, also those that are over or cancelled: the box tells by itself only of what
 * is to come. */

import { computed, effect, type ReadonlySignal, signal } from "@preact/signals";
import type { Box } from "../box/box";
import type { Showing } from "../box/wire";
import { dayAfter, dayOf } from "../core/days";

/** How far from today a showing is looked for of which nothing but the id is known: days. */
const BACK = 60;
const AHEAD = 400;

export class Programme {
  private readonly known = signal<ReadonlyMap<string, Showing>>(new Map());
  readonly showings: ReadonlySignal<readonly Showing[]> = computed(() =>
    [...this.known.value.values()].sort(
      (one, other) => Date.parse(one.starts_at) - Date.parse(other.starts_at) || one.room.localeCompare(other.room),
    ),
  );

  private readonly ends: readonly (() => void)[];

  constructor(private readonly box: Box) {
    this.ends = [effect(() => this.learn(box.showings.value ?? [])), box.onShowing((showing) => this.learn([showing]))];
  }

  dispose(): void {
    for (const end of this.ends) end();
  }

  find(showingId: string): Showing | undefined {
    return this.known.value.get(showingId);
  }

  onDay(day: string, timezone: string): readonly Showing[] {
    return this.showings.value.filter((showing) => dayOf(Date.parse(showing.starts_at), timezone) === day);
  }

  learn(showings: readonly Showing[]): void {
    const known = new Map(this.known.peek());
    for (const showing of showings) known.set(showing.showing_id, showing);
    this.known.value = known;
  }

  /** Ask for all of these days, both included. */
  async ask(from: string, to: string): Promise<void> {
    this.learn(await this.box.http.showingsBetween(from, to));
  }

  /** Look for a showing of which the page has not heard: by its bookings, else in the days around today. */
  async lookFor(showingId: string, timezone: string): Promise<void> {
    const [booking] = await this.box.http.bookings({ showing_id: showingId });
    const day = dayOf(booking === undefined ? this.box.now() : Date.parse(booking.showing.starts_at), timezone);
    await (booking === undefined ? this.ask(dayAfter(day, -BACK), dayAfter(day, AHEAD)) : this.ask(day, day));
  }
}
