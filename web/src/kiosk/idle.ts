/** Whether anybody is there, told by touches. All moments are of one clock that only runs forward, in milliseconds. */

import { QUESTION, QUIET } from "./times";

export type Presence =
  | { kind: "here" }
  /** The question stands; `left` milliseconds until it is answered by nobody. */
  | { kind: "asked"; left: number }
  | { kind: "gone" };

/** A finger that is lifted still presses what lies under it: until then the question stays in its place. */
const CLICK = 150;
/** A finger that is said to rest for so long was lifted unseen. */
const STUCK = 10_000;

export class Idleness {
  private touchedAt: number;
  private pressedAt: number | null = null;
  private isAsked = false;

  constructor(now: number) {
    this.touchedAt = now;
  }

  /** Whoever is there begins anew, as with another screen. */
  restart(now: number): void {
    this.touchedAt = now;
    this.isAsked = false;
  }

  pressed(now: number): void {
    this.touchedAt = now;
    this.pressedAt = now;
  }

  released(now: number): void {
    this.touchedAt = now;
    this.pressedAt = null;
  }

  /** How long nobody has touched anything. */
  quietFor(now: number): number {
    if (this.pressedAt !== null && now - this.pressedAt < STUCK) return 0;
    return now - this.touchedAt;
  }

  look(now: number): Presence {
    const quiet = this.quietFor(now);
    if (quiet >= QUIET + QUESTION) return { kind: "gone" };
    if (quiet >= QUIET) this.isAsked = true;
    else if (quiet >= CLICK) this.isAsked = false;
    if (!this.isAsked) return { kind: "here" };
    return { kind: "asked", left: Math.min(QUESTION, QUIET + QUESTION - quiet) };
  }
}
