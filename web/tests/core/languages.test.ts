import { describe, expect, it } from "vitest";
import { chosenFrom, spokenAt } from "../../src/core/languages";

describe("languages", () => {
  it("are the cinema's, as far as the pages are written in them, in its order", () => {
    expect(spokenAt(["nl", "en"])).toEqual(["nl", "en"]);
    expect(spokenAt(["nl-BE", "fr", "nl"])).toEqual(["nl"]);
    expect(spokenAt(["fr"])).toEqual(["en", "nl"]);
  });

  it("are chosen by what the reader prefers", () => {
    expect(chosenFrom(["en", "nl"], ["fr-FR", "nl-NL", "en"])).toBe("nl");
    expect(chosenFrom(["nl"], ["en-GB"])).toBe("nl");
    expect(chosenFrom(["en", "nl"], [""])).toBe("en");
  });
});
