import { describe, expect, test } from "vitest";
import { isEmail, LONGEST_EMAIL } from "../../src/core/email";

describe("a plausible address", () => {
  test.each(["jo@x.nl", "jo.van-den_berg+film@mail.example.org", " jo@x.nl "])("%j is one", (email) => {
    expect(isEmail(email)).toBe(true);
  });

  test("is no longer than the box takes", () => {
    expect(isEmail(`${"x".repeat(LONGEST_EMAIL - 5)}@x.nl`)).toBe(true);
    expect(isEmail(`${"x".repeat(LONGEST_EMAIL - 4)}@x.nl`)).toBe(false);
  });

  test.each(["", "jo", "jo@", "@x.nl", "jo@x", "jo@x.", "jo@.nl", "jo@x..nl", "j o@x.nl", "a@b@c.nl"])(
    "%j is none",
    (email) => {
      expect(isEmail(email)).toBe(false);
    },
  );
});
