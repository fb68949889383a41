/** Money as people type it, and as it goes on the wire: `9,50`, `€ 9.50` and `9` are all understood. */

import { cents } from "../core/money";

/** Whole cents; null for what is no amount. A thousand is written without a separator, so that none is misread. */
export function centsTyped(text: string): number | null {
  const amount = /^(\d{1,6})(?:[.,](\d{1,2}|-|–))?$/.exec(text.replace(/[\s€$£]/g, ""));
  if (amount === null) return null;
  const [, units = "", places = ""] = amount;
  return Number(units) * 100 + (/^\d+$/.test(places) ? Number(places.padEnd(2, "0")) : 0);
}

/** `9.50`, for the wire. */
export function decimal(inCents: number): string {
  return `${Math.floor(inCents / 100)}.${String(inCents % 100).padStart(2, "0")}`;
}

/** `9,50` or `9.50`, as its reader would type it. */
export function typed(decimalText: string, language: string): string {
  const text = decimal(cents(decimalText));
  return language === "nl" ? text.replace(".", ",") : text;
}
