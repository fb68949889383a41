import { describe, expect, test } from "vitest";
import { Idleness } from "../../src/kiosk/idle";
import { QUESTION, QUIET } from "../../src/kiosk/times";

describe("idleness", () => {
  test("asks after a while without a touch, counts down, and then gives up", () => {
    const idle = new Idleness(1_000);
    expect(idle.look(1_000 + QUIET - 1).kind).toBe("here");
    expect(idle.look(1_000 + QUIET)).toEqual({ kind: "asked", left: QUESTION });
    expect(idle.look(1_000 + QUIET + 5_000)).toEqual({ kind: "asked", left: QUESTION - 5_000 });
    expect(idle.look(1_000 + QUIET + QUESTION).kind).toBe("gone");
  });

  test("a touch begins anew", () => {
    const idle = new Idleness(0);
    idle.pressed(QUIET - 1);
    idle.released(QUIET);
    expect(idle.look(2 * QUIET - 1).kind).toBe("here");
    expect(idle.look(2 * QUIET).kind).toBe("asked");
  });

  test("the question stays under the finger that answers it, so that nothing below is pressed", () => {
    const idle = new Idleness(0);
    expect(idle.look(QUIET).kind).toBe("asked");
    idle.pressed(QUIET + 1_000);
    expect(idle.look(QUIET + 1_200).kind).toBe("asked");
    idle.released(QUIET + 1_300);
    expect(idle.look(QUIET + 1_310).kind).toBe("asked");
    expect(idle.look(QUIET + 1_500).kind).toBe("here");
  });

  test("a resting finger is somebody, but a finger that is never lifted is not", () => {
    const idle = new Idleness(0);
    idle.pressed(0);
    expect(idle.quietFor(5_000)).toBe(0);
    expect(idle.look(QUIET).kind).toBe("asked");
  });

  test("another screen begins anew", () => {
    const idle = new Idleness(0);
    expect(idle.look(QUIET).kind).toBe("asked");
    idle.restart(QUIET + 1);
    expect(idle.look(QUIET + 2).kind).toBe("here");
  });

  test("a page that slept for long finds nobody", () => {
    expect(new Idleness(0).look(3_600_000).kind).toBe("gone");
  });
});
