import { describe, expect, it } from "vitest";
import type { Command, Confirmation, HoldNotice } from "../../src/box/wire";
import { Outbox, type Outcome } from "../../src/core/outbox";

const NOON = "2030-01-01T12:00:00.000Z";
const seats = (booking_id: string) => ({ showing_id: "s", seat_ids: ["a"], booking_id, timestamp: NOON });
const book = (id: string): Command => ({ topic: "booking/request", body: seats(id) });
const hold = (id: string): Command => ({ topic: "seats/hold", body: seats(id) });
const release = (id: string): Command => ({ topic: "seats/release", body: seats(id) });
const cancel = (id: string): Command => ({ topic: "booking/cancel", body: { booking_id: id, timestamp: NOON } });
const confirmation = (booking_id: string, status: Confirmation["status"]): Confirmation => ({
  booking_id,
  status,
  message: "",
  timestamp: NOON,
  seat_ids: [],
});
const notice = (booking_id: string, status: HoldNotice["status"]): HoldNotice => ({
  showing_id: "s",
  seat_ids: ["a"],
  booking_id,
  status,
  message: "",
  timestamp: NOON,
});
const error = (command: Command, code: string) => ({
  topic: command.topic,
  code,
  message: "",
  booking_id: command.body.booking_id,
});

/** An outbox with these commands, and what became of each, as far as something has. */
function filled(...commands: Command[]): { outbox: Outbox; outcomes: () => Promise<(Outcome | undefined)[]> } {
  const outbox = new Outbox();
  const became: (Outcome | undefined)[] = commands.map(() => undefined);
  commands.forEach((command, index) => {
    void outbox.add(command).then((outcome) => {
      became[index] = outcome;
    });
  });
  return { outbox, outcomes: async () => became };
}

describe("commands on their way", () => {
  it("stay, in their order, until their outcome is known", async () => {
    const [first, second] = [book("1"), book("2")];
    const { outbox, outcomes } = filled(first, second);
    outbox.confirmed(confirmation("1", "confirmed"));
    expect(outbox.commands).toEqual([second]);
    expect(await outcomes()).toEqual([
      { kind: "confirmation", confirmation: confirmation("1", "confirmed") },
      undefined,
    ]);
  });

  it("are sent again as they were: the very same object", () => {
    const command = book("1");
    const { outbox } = filled(command);
    expect(outbox.commands[0]).toBe(command);
  });

  it("know a request's failure for its outcome, and not for a cancelling's", async () => {
    const { outbox } = filled(book("1"), cancel("1"));
    outbox.confirmed(confirmation("1", "failed"));
    expect(outbox.commands).toEqual([cancel("1")]);
    outbox.confirmed(confirmation("1", "confirmed"));
    expect(outbox.commands).toEqual([cancel("1")]);
    outbox.confirmed(confirmation("1", "cancelled"));
    expect(outbox.commands).toEqual([]);
  });

  it("take a notice for the answer to what it answers", () => {
    const { outbox } = filled(hold("1"), release("1"), hold("2"));
    expect(outbox.noticed(notice("1", "expired"))).toBe(false);
    expect(outbox.noticed(notice("3", "held"))).toBe(false);
    expect(outbox.noticed(notice("1", "released"))).toBe(true);
    expect(outbox.noticed(notice("2", "rejected"))).toBe(true);
    expect(outbox.commands).toEqual([hold("1")]);
  });

  it("answer one hold by one notice", () => {
    const { outbox } = filled(hold("1"), hold("1"));
    outbox.noticed(notice("1", "held"));
    expect(outbox.commands).toHaveLength(1);
  });

  it("end by a refusal that will stay", async () => {
    const { outbox, outcomes } = filled(book("1"), hold("1"));
    expect(outbox.refused(error(book("1"), "conflict"))).toEqual([]);
    expect(await outcomes()).toEqual([{ kind: "refusal", code: "conflict" }, undefined]);
  });

  it("stay over a refusal that will pass, and are named to be sent again", async () => {
    const { outbox, outcomes } = filled(book("1"));
    for (const code of ["storage_unavailable", "rate_limited", "unavailable"]) {
      expect(outbox.refused(error(book("1"), code))).toEqual([book("1")]);
    }
    expect(await outcomes()).toEqual([undefined]);
  });
});
