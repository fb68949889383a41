import { describe, expect, it } from "vitest";
import { delayAfter } from "../../src/core/backoff";
import { Link } from "../../src/core/link";

describe("the link to the box", () => {
  it("is live once MQTT is joined", () => {
    const link = new Link();
    expect(link.state).toBe("connecting");
    link.opened();
    expect(link.state).toBe("live");
    expect(link.shouldPoll).toBe(false);
  });

  it("polls where the box answers, but no WebSocket is to be had", () => {
    const link = new Link();
    link.lost(0);
    expect(link.shouldPoll).toBe(true);
    link.asked(true);
    expect(link.state).toBe("polling");
  });

  it("is still connecting while the first attempt is under way, whatever HTTP says", () => {
    const link = new Link();
    expect(link.shouldPoll).toBe(false);
    link.asked(true);
    expect(link.state).toBe("connecting");
  });

  it("reconnects where nobody answers, and says so also of a poll that fails", () => {
    const link = new Link();
    link.opened();
    link.lost(0);
    expect(link.state).toBe("reconnecting");
    link.asked(true);
    expect(link.state).toBe("polling");
    link.asked(false);
    expect(link.state).toBe("reconnecting");
  });

  it("comes back from polling as soon as MQTT is joined", () => {
    const link = new Link();
    link.lost(0);
    link.asked(true);
    link.opened();
    expect(link.state).toBe("live");
    link.asked(false);
    expect(link.state).toBe("live");
  });

  it("stays polling over an attempt that fails", () => {
    const link = new Link();
    link.lost(0);
    link.asked(true);
    link.lost(0);
    expect(link.state).toBe("polling");
  });

  it("waits longer after each failure, and begins anew after it was joined", () => {
    const link = new Link();
    const delays = [link.lost(0), link.lost(0), link.lost(0)];
    expect(delays).toEqual([250, 500, 1000]);
    link.opened();
    expect(link.lost(0)).toBe(250);
  });

  it("waits half a minute at most, and not everybody as long", () => {
    expect(delayAfter(50, 0)).toBe(15_000);
    expect(delayAfter(50, 0.999)).toBeLessThan(30_000);
    expect(delayAfter(50, 0.999)).toBeGreaterThan(29_000);
  });
});
