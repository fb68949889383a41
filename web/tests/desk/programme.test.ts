import { beforeEach, describe, expect, it, vi } from "vitest";
import { Box } from "../../src/box/box";
import { News } from "../../src/desk/news";
import { Programme } from "../../src/desk/programme";
import { answers, calls, joins, pass, say, session, surrounded } from "../box/surroundings";
import { AMSTERDAM, booking, showing } from "./fixtures";

vi.mock("../../src/box/mqtt", () => import("../box/surroundings"));
surrounded();

const tonight = showing({ showing_id: "s" });
const late = showing({ showing_id: "late", starts_at: "2030-01-01T23:30:00Z", ends_at: "2030-01-02T01:00:00Z" });

let box: Box;
let programme: Programme;
beforeEach(async () => {
  answers.set("POST /api/session", () => [200, session("alice", { role: "manager" })]);
  answers.set("GET /api/showings", () => [200, [late, tonight]]);
  box = new Box({ page: "desk" });
  programme = new Programme(box);
});
const ids = () => programme.showings.value.map(({ showing_id }) => showing_id);

describe("the desk's programme", () => {
  it("knows by its start what the box tells, also when that is cancelled or over", async () => {
    await joins(box);
    expect(ids()).toEqual(["s", "late"]);
    say("showing/update/new", showing({ showing_id: "new", room: "Éclair" }));
    say("showing/update/s", { ...tonight, status: "cancelled" });
    expect(ids()).toEqual(["new", "s", "late"]);
    expect(programme.find("s")?.status).toBe("cancelled");
    expect(box.showings.value?.map(({ showing_id }) => showing_id)).not.toContain("s");
  });

  it("goes by the cinema's own days", async () => {
    await joins(box);
    expect(programme.onDay("2030-01-01", AMSTERDAM).map(({ showing_id }) => showing_id)).toEqual(["s"]);
    expect(programme.onDay("2030-01-02", AMSTERDAM).map(({ showing_id }) => showing_id)).toEqual(["late"]);
  });

  it("looks for a showing by its bookings, else in the days around today", async () => {
    await joins(box);
    const [then] = [showing({ showing_id: "then", starts_at: "2029-06-01T22:30:00Z" })];
    const made = booking({ showing: { ...then, status: "scheduled" } });
    answers.set("GET /api/bookings?showing_id=then", () => [200, [made]]);
    answers.set("GET /api/showings?from=2029-06-02&to=2029-06-02", () => [200, [then]]);
    await programme.lookFor("then", AMSTERDAM);
    expect(programme.find("then")).toEqual(then);

    answers.set("GET /api/bookings?showing_id=nobodys", () => [200, []]);
    answers.set("GET /api/showings?from=2029-11-02&to=2031-02-05", () => [200, []]);
    await programme.lookFor("nobodys", AMSTERDAM);
    expect(calls.at(-1)).toBe("GET /api/showings?from=2029-11-02&to=2031-02-05");
  });

  it("learns no more once the desk is left", async () => {
    await joins(box);
    programme.dispose();
    say("showing/update/new", showing({ showing_id: "new" }));
    expect(ids()).toEqual(["s", "late"]);
  });
});

describe("the desk's news", () => {
  const told = (news: News) => news.happenings.value.map(({ kind, title }) => `${kind}: ${title}`);
  const confirmed = {
    ...{ booking_id: "b", status: "confirmed", message: "", timestamp: "2030-01-01T12:00:00Z" },
    ...{ number: "ABC234", total: "9.50", currency: "EUR", showing_id: "s", seat_ids: ["a"] },
  };

  it("are what happens from now on, not what was so before", async () => {
    const news = new News(box, programme);
    await joins(box);
    expect(told(news)).toEqual([]);
    say("showing/update/new", showing({ showing_id: "new", title: "Faust" }));
    say("showing/update/new", showing({ showing_id: "new", title: "Faust (1926)" }));
    expect(told(news)).toEqual(["changed showing: Faust (1926)", "new showing: Faust"]);
    say("showing/update/s", { ...tonight, status: "cancelled" });
    expect(told(news)[0]).toBe("cancelled showing: Nosferatu");
  });

  it("are the bookings by what they are for, but not those that failed", async () => {
    const news = new News(box, programme);
    await joins(box);
    say("booking/confirm/b", confirmed);
    say("booking/confirm/c", { ...confirmed, booking_id: "c", status: "failed" });
    say("booking/confirm/b", { ...confirmed, status: "cancelled" });
    expect(told(news)).toEqual(["given back: Nosferatu", "booked: Nosferatu"]);
  });

  it("of what was missed while the box was away are told when it is back", async () => {
    const news = new News(box, programme);
    await joins(box);
    answers.set("GET /api/showings", () => [200, [late]]);
    await box.refresh();
    expect(told(news)).toEqual(["cancelled showing: Nosferatu"]);
  });

  it("are the bookings of the last hours, too, each once however it was heard of", async () => {
    let isAway = true;
    const missed = booking({ booking_id: "m", timestamp: "2030-01-01T11:00:00Z", status: "cancelled" });
    const known = booking({ booking_id: "b", timestamp: "2030-01-01T11:30:00Z" });
    answers.set("GET /api/bookings?latest=50", () =>
      isAway ? [503, { code: "storage_unavailable", message: "" }] : [200, [known, missed]],
    );
    const news = new News(box, programme);
    await joins(box);
    say("booking/confirm/b", { ...confirmed, timestamp: "2030-01-01T11:30:00Z" });
    expect(told(news)).toEqual(["booked: Nosferatu"]);
    isAway = false;
    await box.refresh();
    await pass();
    expect(told(news)).toEqual(["booked: Nosferatu", "given back: Nosferatu"]);
  });

  it("are asked for when something may have been missed, not when a session is renewed", async () => {
    const asked = () => calls.filter((call) => call === "GET /api/bookings?latest=50").length;
    new News(box, programme);
    await joins(box);
    const before = asked();
    expect(before).toBeGreaterThan(0);
    await box.signIn("alice", "password");
    const renewed = box.renewed.value;
    await pass();
    expect(asked() - before).toBe(box.renewed.value - renewed);
  });

  it("are told no more once the desk is left", async () => {
    const news = new News(box, programme);
    await joins(box);
    news.dispose();
    say("showing/update/new", showing({ showing_id: "new" }));
    say("booking/confirm/b", confirmed);
    await pass();
    expect(told(news)).toEqual([]);
  });
});
