import { signal } from "@preact/signals";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { LinkState } from "../../src/core/link";
import { type Flow, START } from "../../src/kiosk/flow";
import { UNTOUCHED } from "../../src/kiosk/times";
import { type Answer, answers, asked, happens, kept, keptByTab, pass, surrounded } from "../box/surroundings";

surrounded();

const page = (script: string) =>
  `<html><head><script type="module" crossorigin src="/assets/${script}"></script>` +
  `<link rel="stylesheet" crossorigin href="/assets/kiosk.css">`;
const OLD: Answer = [200, page("kiosk-old.js")];
const NEW: Answer = [200, page("kiosk-new.js")];
const PAGE = "GET /kiosk";

let reloads: number;
let renewal: typeof import("../../src/kiosk/renewal");
beforeEach(async () => {
  reloads = 0;
  vi.stubGlobal("location", {
    pathname: "/kiosk",
    reload: () => {
      reloads += 1;
    },
  });
  vi.stubGlobal("document", {
    baseURI: "http://box/kiosk",
    querySelectorAll: () => [{ src: "http://box/assets/kiosk-old.js" }, { href: "http://box/assets/kiosk.css" }],
  });
  // Whether the page has failed is said once in its life.
  vi.resetModules();
  renewal = await import("../../src/kiosk/renewal");
});

describe("a page of which the box serves a newer version", () => {
  const flow = signal<Flow>(START);
  const link = signal<LinkState>("live");
  let quiet: number;

  beforeEach(() => {
    flow.value = START;
    link.value = "live";
    quiet = UNTOUCHED;
    answers.set(PAGE, () => NEW);
    renewal.renewWhenUpdated({ flow, quietFor: () => quiet }, { link });
  });

  const cut = (then: LinkState = "live") => {
    link.value = "reconnecting";
    link.value = then;
  };

  test("begins anew after a cut", async () => {
    cut();
    await pass(3_000);
    expect(reloads).toBe(1);
  });

  test("does so too where the box only answers over HTTP", async () => {
    cut("polling");
    await pass(3_000);
    expect(reloads).toBe(1);
  });

  test("waits until nobody is using it", async () => {
    cut();
    flow.value = { screen: "seats", showingId: "s" };
    await pass(10_000);
    [flow.value, quiet] = [START, UNTOUCHED - 1];
    await pass(10_000);
    expect(asked(PAGE)).toBe(0);
    expect(reloads).toBe(0);
    quiet = UNTOUCHED;
    await pass(3_000);
    expect(reloads).toBe(1);
  });

  test("stays for somebody who came while the box was asked, and begins anew after them", async () => {
    let answer = (_: Answer) => {};
    answers.set(PAGE, () => new Promise((resolve) => (answer = resolve)));
    cut();
    await pass(3_000);
    quiet = 0;
    answer(NEW);
    await pass();
    expect(reloads).toBe(0);
    answers.set(PAGE, () => NEW);
    quiet = UNTOUCHED;
    await pass(3_000);
    expect(reloads).toBe(1);
  });

  test.each<[string, Answer | null]>([
    ["nobody serves it", null],
    ["what answers is not well", [503, page("kiosk-new.js")]],
  ])("stays while %s, and asks again", async (_, served) => {
    if (served === null) answers.delete(PAGE);
    else answers.set(PAGE, () => served);
    cut();
    await pass(3_000);
    expect(reloads).toBe(0);
    answers.set(PAGE, () => NEW);
    await pass(3_000);
    expect(reloads).toBe(1);
  });

  test("is looked for once after each cut, and never without one", async () => {
    answers.set(PAGE, () => OLD);
    link.value = "polling";
    link.value = "live";
    await pass(60_000);
    expect(asked(PAGE)).toBe(0);
    cut();
    await pass(60_000);
    expect(asked(PAGE)).toBe(1);
    link.value = "polling";
    link.value = "live";
    await pass(60_000);
    expect(asked(PAGE)).toBe(1);
    cut();
    await pass(60_000);
    expect(asked(PAGE)).toBe(2);
    expect(reloads).toBe(0);
  });
});

describe("a page that has failed", () => {
  beforeEach(() => {
    answers.set(PAGE, () => OLD);
    renewal.renewWhenFailed();
  });

  test.each([
    ["error", { message: "it is undefined" }],
    ["unhandledrejection", {}],
  ])("begins anew after a moment (%s), once", async (name, event) => {
    happens(name, event);
    happens(name, event);
    expect(renewal.hasFailed.value).toBe(true);
    await pass(2_000);
    expect(reloads).toBe(0);
    await pass(2_000);
    expect(reloads).toBe(1);
    expect(JSON.parse(keptByTab.get("lynrie.kiosk.faults") ?? "{}")).toMatchObject({ count: 1 });
    expect(kept.size).toBe(0);
  });

  test("waits for the box, which alone can serve it", async () => {
    answers.delete(PAGE);
    happens("error", { message: "it is undefined" });
    await pass(20_000);
    expect(reloads).toBe(0);
    answers.set(PAGE, () => OLD);
    await pass(6_000);
    expect(reloads).toBe(1);
  });

  test("is not one of which the browser tells what is no fault", async () => {
    happens("error", { message: "ResizeObserver loop completed with undelivered notifications." });
    await pass(60_000);
    expect(renewal.hasFailed.value).toBe(false);
    expect(reloads).toBe(0);
  });
});
