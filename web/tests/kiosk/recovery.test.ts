import { describe, expect, test } from "vitest";
import { afterFault, type Faults } from "../../src/kiosk/recovery";
import { isOutdated } from "../../src/kiosk/version";

describe("after a fault", () => {
  test("the page begins anew after ever longer delays, up to a limit", () => {
    let faults: Faults | null = null;
    let now = 0;
    const delays = Array.from({ length: 10 }, () => {
      const next = afterFault(faults, now);
      faults = next.faults;
      now += next.delay + 500;
      return next.delay;
    });
    expect(delays.slice(0, 3)).toEqual([3_000, 6_000, 12_000]);
    expect(delays.at(-1)).toBe(300_000);
  });

  test("what went well for long is forgiven", () => {
    const { faults } = afterFault({ count: 7, at: 0 }, 3_600_000);
    expect(faults.count).toBe(1);
  });

  test("what went well is counted from the new beginning", () => {
    const { faults, delay } = afterFault({ count: 9, at: 0 }, 0);
    expect(afterFault(faults, delay + 9 * 60_000).faults.count).toBe(11);
    expect(afterFault(faults, delay + 11 * 60_000).faults.count).toBe(1);
  });

  test("a clock that was set back makes no endless past", () => {
    expect(afterFault({ count: 7, at: 1e12 }, 0).delay).toBe(3_000);
  });
});

describe("the page's version", () => {
  const page = (script: string) => `<html><head><script type="module" crossorigin src="${script}"></script>`;

  test("is another one when its parts have other names", () => {
    expect(isOutdated(page("/assets/kiosk-new.js"), ["/assets/kiosk-old.js"])).toBe(true);
    expect(isOutdated(page("/assets/kiosk-old.js"), ["/assets/kiosk-old.js"])).toBe(false);
    expect(isOutdated(page("/assets/kiosk.js?new"), ["/assets/kiosk.js"])).toBe(true);
  });

  test("is not told by something that is not the page", () => {
    expect(isOutdated("<p>Bad gateway", ["/assets/kiosk-old.js"])).toBe(false);
  });
});
