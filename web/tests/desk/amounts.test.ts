import { describe, expect, it } from "vitest";
import { centsTyped, decimal, typed } from "../../src/desk/amounts";

describe("an amount", () => {
  it("is understood as people type it", () => {
    for (const [text, inCents] of [
      ["9,50", 950],
      ["9.50", 950],
      [" € 9,5 ", 950],
      ["9", 900],
      ["9,-", 900],
      ["0", 0],
      ["0,05", 5],
      ["123456", 12345600],
    ] as const) {
      expect(centsTyped(text), text).toBe(inCents);
    }
  });

  it("is not guessed", () => {
    for (const text of ["", "free", "-1", "9,505", "1.000,00", "1,000", "9.5.0", "1234567"]) {
      expect(centsTyped(text), text).toBeNull();
    }
  });

  it("is written in the form of its reader, wire or person", () => {
    expect(decimal(1205)).toBe("12.05");
    expect(decimal(5)).toBe("0.05");
    expect(typed("9.5", "nl")).toBe("9,50");
    expect(typed("9.5", "en")).toBe("9.50");
  });
});
