/**
 * Commands on their way: each is kept until its outcome is known, whatever is cut meanwhile, and sent again as it was,
 * which the box takes for the same (protocol.md, Commands). What is told here decides nothing about when.
 */

import type { Command, Confirmation, ErrorNotice, HoldNotice } from "../box/wire";

/** What became of a command. */
export type Outcome =
  | { kind: "confirmation"; confirmation: Confirmation }
  | { kind: "notice"; notice: HoldNotice }
  | { kind: "refusal"; code: string };

/** Refusals that say nothing about the command itself: the same may be sent again. */
const PASSING: ReadonlySet<string> = new Set(["storage_unavailable", "rate_limited", "unavailable"]);

/** Whether a refusal will pass, so that the same command may be sent again. */
export const willPass = (code: string): boolean => PASSING.has(code);

interface Pending {
  readonly command: Command;
  readonly resolve: (outcome: Outcome) => void;
}

export class Outbox {
  private pending: Pending[] = [];

  /** All commands without an outcome, in the order in which they were given. */
  get commands(): readonly Command[] {
    return this.pending.map(({ command }) => command);
  }

  /** Keep a command until its outcome is known. */
  add(command: Command): Promise<Outcome> {
    return new Promise((resolve) => {
      this.pending.push({ command, resolve });
    });
  }

  has(command: Command): boolean {
    return this.pending.some((pending) => pending.command === command);
  }

  /** The outcome of exactly this command, as over HTTP. */
  settle(command: Command, outcome: Outcome): void {
    this.finish((pending) => pending.command === command, outcome);
  }

  /** A booking's outcome: of its request; and, where it says so, of its cancelling. */
  confirmed(confirmation: Confirmation): void {
    this.finish(
      ({ command }) =>
        command.body.booking_id === confirmation.booking_id &&
        (command.topic === "booking/request" ||
          (command.topic === "booking/cancel" && confirmation.status === "cancelled")),
      { kind: "confirmation", confirmation },
    );
  }

  /** The answer to a hold or a release. What runs out is no answer, nor is a present. */
  noticed(notice: HoldNotice): boolean {
    const topic = { held: "seats/hold", rejected: "seats/hold", released: "seats/release", expired: null }[
      notice.status
    ];
    return this.finish(
      ({ command }) => command.topic === topic && command.body.booking_id === notice.booking_id,
      { kind: "notice", notice },
      { onlyFirst: true },
    );
  }

  /** A refusal; the commands that it will pass for, which are to be sent again later. */
  refused(error: ErrorNotice): Command[] {
    const concerns = ({ command }: Pending) =>
      command.topic === error.topic && command.body.booking_id === error.booking_id;
    if (willPass(error.code)) return this.pending.filter(concerns).map(({ command }) => command);
    this.finish(concerns, { kind: "refusal", code: error.code });
    return [];
  }

  /** Forget what nobody waits for any more. */
  drop(command: Command): void {
    this.settle(command, { kind: "refusal", code: "dropped" });
  }

  private finish(concerns: (pending: Pending) => boolean, outcome: Outcome, { onlyFirst = false } = {}): boolean {
    let found = this.pending.filter(concerns);
    if (onlyFirst) found = found.slice(0, 1);
    this.pending = this.pending.filter((pending) => !found.includes(pending));
    for (const { resolve } of found) resolve(outcome);
    return found.length > 0;
  }
}
