import { describe, expect, it } from "vitest";
import type { HoldNotice } from "../../src/box/wire";
import { Selection, type Step } from "../../src/core/selection";

const NOON = "2030-01-01T12:00:00.000Z";

const notice = (status: HoldNotice["status"], seat_ids: string[], more: Partial<HoldNotice> = {}): HoldNotice => ({
  showing_id: "s",
  seat_ids,
  status,
  message: "",
  timestamp: NOON,
  ...(status === "held" ? { expires_at: NOON } : {}),
  ...more,
});

function step(selection: Selection): Step {
  const next = selection.next();
  if (next === null) throw new Error("nothing is to be asked for");
  selection.sent(next);
  return next;
}

/** A selection whose seats are chosen and kept. */
function keeping(...seats: string[]): Selection {
  const selection = new Selection();
  for (const seat of seats) selection.toggle(seat);
  step(selection);
  selection.answered(notice("held", seats));
  return selection;
}

describe("a selection", () => {
  it("asks the box to keep what is chosen, at once", () => {
    const selection = new Selection();
    selection.toggle("a");
    expect(step(selection)).toEqual({ topic: "seats/hold", seat_ids: ["a"] });
    expect(selection.answered(notice("held", ["a"]))).toBeNull();
    expect([...selection.kept]).toEqual(["a"]);
    expect(selection.expiresAt).toBe(Date.parse(NOON));
    expect(selection.isSettled).toBe(true);
  });

  it("asks for one thing at a time, and for what has changed meanwhile afterwards", () => {
    const selection = new Selection();
    selection.toggle("a");
    step(selection);
    selection.toggle("b");
    expect(selection.next()).toBeNull();
    expect(selection.isSettled).toBe(false);
    selection.answered(notice("held", ["a"]));
    expect(step(selection).seat_ids).toEqual(["a", "b"]);
  });

  it("asks for all of them with each new one, so that they run out together", () => {
    const selection = keeping("a");
    selection.toggle("b");
    expect(step(selection)).toEqual({ topic: "seats/hold", seat_ids: ["a", "b"] });
  });

  it("gives back what is not wanted any more, before it asks for more", () => {
    const selection = keeping("a", "b");
    selection.toggle("a");
    selection.toggle("c");
    expect(step(selection)).toEqual({ topic: "seats/release", seat_ids: ["a"] });
    selection.answered(notice("released", ["a"]));
    expect(step(selection)).toEqual({ topic: "seats/hold", seat_ids: ["b", "c"] });
  });

  it("has nothing kept after a release that found nothing to release", () => {
    const selection = keeping("a");
    selection.clear();
    step(selection);
    selection.answered(notice("released", []));
    expect(selection.isSettled).toBe(true);
    expect(selection.expiresAt).toBeNull();
  });

  it("has nothing kept after a release that was refused", () => {
    const selection = keeping("a");
    selection.clear();
    step(selection);
    expect(selection.refused("conflict")).toBeNull();
    expect(selection.isSettled).toBe(true);
  });

  it("knows what it is told that the box keeps", () => {
    const selection = new Selection();
    selection.toggle("a");
    expect(selection.told(notice("held", ["a"]))).toBeNull();
    expect(selection.isSettled).toBe(true);
    expect(selection.expiresAt).toBe(Date.parse(NOON));
  });

  it("loses seats that somebody else has taken, and goes on with the others", () => {
    const selection = keeping("a");
    selection.toggle("b");
    selection.toggle("c");
    step(selection);
    const loss = selection.answered(notice("rejected", ["b"], { code: "seats_unavailable" }));
    expect(loss).toEqual({ why: "taken", seat_ids: ["b"] });
    expect(step(selection)).toEqual({ topic: "seats/hold", seat_ids: ["a", "c"] });
  });

  it("keeps what it had where the box refuses more", () => {
    const selection = keeping("a");
    selection.toggle("b");
    step(selection);
    const loss = selection.answered(notice("rejected", [], { code: "too_many_seats" }));
    expect(loss).toEqual({ why: "refused", code: "too_many_seats", seat_ids: ["b"] });
    expect(selection.seats).toEqual(["a"]);
    expect(selection.isSettled).toBe(true);
  });

  it("asks for nothing again and again that was refused", () => {
    const selection = new Selection();
    selection.toggle("a");
    step(selection);
    expect(selection.refused("forbidden")).toEqual({ why: "refused", code: "forbidden", seat_ids: ["a"] });
    expect(selection.next()).toBeNull();
  });

  it("loses what runs out, by the box's word or by the clock, and says so once", () => {
    const selection = keeping("a", "b");
    expect(selection.told(notice("expired", ["a"]))).toEqual({ why: "expired", seat_ids: ["a"] });
    expect(selection.ranOut()).toEqual({ why: "expired", seat_ids: ["b"] });
    expect(selection.told(notice("expired", ["b"]))).toBeNull();
    expect(selection.seats).toEqual([]);
    expect(selection.next()).toBeNull();
  });

  it("asks again for what the box no longer keeps after a cut", () => {
    const selection = keeping("a", "b");
    selection.present(notice("held", ["b"]));
    expect(step(selection)).toEqual({ topic: "seats/hold", seat_ids: ["a", "b"] });
    const other = keeping("a");
    other.present(undefined);
    expect(step(other).seat_ids).toEqual(["a"]);
  });

  it("gives back nothing of what is sold", () => {
    const selection = keeping("a");
    selection.over();
    expect(selection.next()).toBeNull();
  });
});
