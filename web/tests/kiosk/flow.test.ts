import { describe, expect, test } from "vitest";
import { type Flow, START, type Step, stepped, whenAlone } from "../../src/kiosk/flow";

const walk = (...steps: Step[]): Flow => steps.reduce(stepped, START);
const choose: Step = { step: "choose", showingId: "s" };

describe("the way through the kiosk", () => {
  test("leads from a showing to its seats, an address, the booking and its number", () => {
    expect(walk(choose)).toEqual({ screen: "seats", showingId: "s" });
    expect(walk(choose, { step: "go on" }).screen).toBe("email");
    expect(walk(choose, { step: "go on" }, { step: "book" }).screen).toBe("booking");
    expect(walk(choose, { step: "go on" }, { step: "book" }, { step: "booked" })).toEqual({
      screen: "done",
      showingId: "s",
    });
  });

  test("can be left at any time but while a booking is under way", () => {
    expect(walk(choose, { step: "leave" })).toBe(START);
    expect(walk(choose, { step: "go on" }, { step: "leave" })).toBe(START);
    expect(walk(choose, { step: "go on" }, { step: "book" }, { step: "leave" }).screen).toBe("booking");
    expect(walk(choose, { step: "go on" }, { step: "book" }, { step: "booked" }, { step: "leave" })).toBe(START);
  });

  test("is left from everywhere where the house is signed out", () => {
    const all: Step[] = [choose, { step: "go on" }, { step: "book" }, { step: "booked" }];
    for (let steps = 0; steps <= all.length; steps += 1) {
      expect(stepped(walk(...all.slice(0, steps)), { step: "signed out" })).toBe(START);
    }
  });

  test("leads back to the seats when the booking fails, or the seats are gone", () => {
    expect(walk(choose, { step: "go on" }, { step: "book" }, { step: "refused" }).screen).toBe("seats");
    expect(walk(choose, { step: "go on" }, { step: "seats lost" }).screen).toBe("seats");
    expect(walk(choose, { step: "go on" }, { step: "go back" }).screen).toBe("seats");
  });

  test("a touch that comes twice changes nothing", () => {
    const seats = walk(choose);
    expect(stepped(seats, { step: "choose", showingId: "other" })).toBe(seats);
    const booking = walk(choose, { step: "go on" }, { step: "book" });
    expect(stepped(booking, { step: "book" })).toBe(booking);
    expect(stepped(booking, { step: "go back" })).toBe(booking);
  });

  test("a booking from before a reload goes on where it was, and interrupts nobody", () => {
    expect(walk({ step: "resume", showingId: "s" })).toEqual({ screen: "booking", showingId: "s" });
    expect(walk(choose, { step: "resume", showingId: "other" })).toEqual({ screen: "seats", showingId: "s" });
  });

  test("being left alone matters in the middle, never while a booking is under way", () => {
    expect(whenAlone(START)).toBe("nothing");
    expect(whenAlone({ screen: "seats", showingId: "s" })).toBe("ask");
    expect(whenAlone({ screen: "email", showingId: "s" })).toBe("ask");
    expect(whenAlone({ screen: "booking", showingId: "s" })).toBe("nothing");
    expect(whenAlone({ screen: "done", showingId: "s" })).toBe("leave");
  });
});
