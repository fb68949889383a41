import { describe, expect, it } from "vitest";
import type { Seat, SeatMessage } from "../../src/box/wire";
import { LivePlan } from "../../src/core/plan";

const seat = (seat_id: string, status: Seat["status"] = "available", x = 0): Seat => ({
  seat_id,
  status,
  row: "A",
  number: x + 1,
  type: "standard",
  x,
  y: 0,
});
const change = (seat_id: string, status: Seat["status"], version: number): SeatMessage => ({
  showing_id: "s",
  seat_id,
  status,
  version,
});
const states = (plan: LivePlan) => plan.present.seats.map(({ seat_id, status }) => `${seat_id} ${status}`);

/** A plan of two seats, both available, at version 7. */
function atSeven(): LivePlan {
  const plan = new LivePlan("s");
  plan.seen(seat("a"), 7);
  plan.seen(seat("b"), 7);
  return plan;
}

describe("a showing's seats", () => {
  it("begin with the present, in room order", () => {
    expect(states(atSeven())).toEqual(["a available", "b available"]);
    expect(atSeven().version).toBe(7);
  });

  it("take each change that follows", () => {
    const plan = atSeven();
    plan.changed(change("a", "reserved", 8));
    plan.changed(change("a", "booked", 9));
    expect(states(plan)).toEqual(["a booked", "b available"]);
    expect(plan.hasGap).toBe(false);
  });

  it("ignore what is older than what is known, so that nothing goes back", () => {
    const plan = atSeven();
    plan.changed(change("a", "reserved", 7));
    plan.seen(seat("b", "booked"), 6);
    plan.replaced({ showing_id: "s", version: 6, seats: [seat("a", "booked")] });
    expect(states(plan)).toEqual(["a available", "b available"]);
    expect(plan.hasGap).toBe(false);
  });

  it("take nothing over a gap, and say so", () => {
    const plan = atSeven();
    plan.changed(change("a", "booked", 9));
    expect(states(plan)).toEqual(["a available", "b available"]);
    expect(plan.hasGap).toBe(true);
  });

  it("close a gap by the present, with what came after it", () => {
    const plan = atSeven();
    plan.changed(change("a", "booked", 10));
    plan.changed(change("b", "reserved", 9));
    plan.replaced({ showing_id: "s", version: 8, seats: [seat("a", "reserved"), seat("b")] });
    expect(states(plan)).toEqual(["a booked", "b reserved"]);
    expect(plan.version).toBe(10);
    expect(plan.hasGap).toBe(false);
  });

  it("stay open where the present that was fetched does not reach the gap", () => {
    const plan = atSeven();
    plan.changed(change("a", "booked", 10));
    plan.replaced({ showing_id: "s", version: 8, seats: [seat("a"), seat("b")] });
    expect(plan.hasGap).toBe(true);
    plan.replaced({ showing_id: "s", version: 11, seats: [seat("a", "available"), seat("b")] });
    expect(plan.hasGap).toBe(false);
    expect(states(plan)).toEqual(["a available", "b available"]);
  });

  it("are another room's, where the present says so", () => {
    const plan = atSeven();
    plan.replaced({ showing_id: "s", version: 8, seats: [seat("c")] });
    expect(states(plan)).toEqual(["c available"]);
  });

  it("take the present that comes anew to a slow page", () => {
    const plan = atSeven();
    plan.changed(change("a", "booked", 12));
    plan.seen(seat("a", "booked"), 12);
    plan.seen(seat("b", "reserved"), 12);
    expect(states(plan)).toEqual(["a booked", "b reserved"]);
    expect(plan.hasGap).toBe(false);
  });

  it("wait for no present where there is none to be had", () => {
    const plan = atSeven();
    plan.changed(change("a", "booked", 12));
    plan.settled();
    expect(plan.hasGap).toBe(false);
  });
});
