import { describe, expect, it } from "vitest";
import {
  changesIn,
  detailsOf,
  draftOf,
  emptyDraft,
  problemsOf,
  startOf,
  timeTyped,
  updateOf,
} from "../../src/desk/drafts";
import { AMSTERDAM, showing } from "./fixtures";

const ROOM = { room_id: "lumiere", name: "Lumière", seats_total: 60, types: ["standard", "premium"] };
const draft = draftOf(showing(), AMSTERDAM, "nl");

describe("a draft of a showing", () => {
  it("is what somebody would have typed by the cinema's clock", () => {
    expect(draft).toEqual({
      title: "Nosferatu",
      day: "2030-01-01",
      time: "20:00",
      minutes: "94",
      roomId: "lumiere",
      price: "9,50",
      prices: { premium: "12,00" },
    });
  });

  it("lasts at least a minute, and at most a day", () => {
    const isRight = (minutes: string) => !problemsOf({ ...draft, minutes }).has("minutes");
    expect(["0", "1", "1440", "1441", "", "9.5"].filter(isRight)).toEqual(["1", "1440"]);
  });

  it("that is not changed changes nothing", () => {
    const details = detailsOf(draft, ROOM, showing().prices);
    const startsAt = startOf(draft.day, details.time, AMSTERDAM);
    expect(problemsOf(draft).size).toBe(0);
    expect([...changesIn(showing(), details, startsAt)]).toEqual([]);
    expect(updateOf(showing(), details, startsAt).showing).toEqual({ showing_id: showing().showing_id });
  });

  it("sends what is changed and nothing else", () => {
    const details = detailsOf({ ...draft, time: "21:15", prices: { premium: "13" } }, ROOM);
    const startsAt = startOf("2030-07-01", details.time, AMSTERDAM);
    expect(updateOf(showing(), details, startsAt).showing).toEqual({
      showing_id: showing().showing_id,
      starts_at: "2030-07-01T19:15:00.000Z",
      minutes: 94,
      price: "9.50",
      prices: { premium: "13.00" },
    });
  });

  it("says of each field what it needs", () => {
    expect([...problemsOf(emptyDraft("2030-01-01"))]).toEqual([
      ["title", "missing"],
      ["roomId", "missing"],
      ["price", "amount"],
    ]);
    const wrong = { ...draft, day: "2030-02-30", time: "24:00", minutes: "1.5", prices: { premium: "much" } };
    expect([...problemsOf(wrong)]).toEqual([
      ["day", "day"],
      ["time", "time"],
      ["minutes", "minutes"],
      ["prices.premium", "amount"],
    ]);
  });

  it("asks nothing of seats that the room has not got, nor sends their price", () => {
    const bare = { ...ROOM, types: ["standard"] };
    const wrong = { ...draft, prices: { premium: "much" } };
    expect(problemsOf(wrong, bare).size).toBe(0);
    expect(detailsOf(draft, bare).prices).toEqual({});
    expect(detailsOf(draft, bare, showing().prices).prices).toEqual({ premium: "12.00" });
  });

  it("takes a price away where the field was emptied", () => {
    expect(detailsOf({ ...draft, prices: { premium: " " } }, ROOM).prices).toEqual({});
  });
});

describe("a time of the day", () => {
  it("is understood as people type it", () => {
    for (const [text, time] of [
      ["20:00", "20:00"],
      ["9.30", "09:30"],
      ["2015", "20:15"],
      ["20u15", "20:15"],
      [" 7 ", "07:00"],
    ] as const) {
      expect(timeTyped(text), text).toBe(time);
    }
  });

  it("is not guessed", () => {
    for (const text of ["", "24:00", "20:60", "8 pm", "200", "20:5"]) expect(timeTyped(text), text).toBeNull();
  });
});
