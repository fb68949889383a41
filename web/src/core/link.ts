/** How the page is joined to the box, and what to try next: decided here, done by whoever holds the socket. */

import { delayAfter } from "./backoff";

/**
 * - `connecting`: nothing has come yet.
 * - `live`: by MQTT, everything at once.
 * - `polling`: the box answers over HTTP, but no WebSocket is to be had.
 * - `reconnecting`: the box does not answer; what is known may be old.
 */
export type LinkState = "connecting" | "live" | "polling" | "reconnecting";

export class Link {
  state: LinkState = "connecting";
  private failures = 0;

  /** MQTT is joined. */
  opened(): void {
    this.state = "live";
    this.failures = 0;
  }

  /** The connection has ended, or could not be made. The delay before the next attempt, in milliseconds. */
  lost(random: number): number {
    if (this.state === "live") this.state = "reconnecting";
    this.failures += 1;
    return delayAfter(this.failures, random);
  }

  /** Whether the box answered over HTTP, while MQTT is not joined. */
  asked(answered: boolean): void {
    // One failed attempt is a box that restarts; an HTTP answer after it, a WebSocket that is kept from us.
    if (this.failures > 0) this.state = answered ? "polling" : "reconnecting";
  }

  /** Whether to ask over HTTP what MQTT would tell. */
  get shouldPoll(): boolean {
    return this.state !== "live" && this.failures > 0;
  }
}
