/** Money: a decimal in a string on the wire, whole cents in between, and the reader's own form on the page. */

import type { Seat, Showing } from "../box/wire";

export const cents = (decimal: string): number => Math.round(Number(decimal) * 100);

// To make one takes longer than to draw a seat.
const formats = new Map<string, Intl.NumberFormat>();

/** `€11.50`, or `€ 11,50` to somebody Dutch. */
export function price(inCents: number, currency: string, language: string): string {
  const locale = language === "en" ? "en-GB" : language;
  // The box keeps hundredths of any currency: where there are some, they are told.
  const digits = inCents % 100 === 0 ? {} : { minimumFractionDigits: 2, maximumFractionDigits: 2 };
  const key = `${locale} ${currency} ${digits.minimumFractionDigits}`;
  let format = formats.get(key);
  if (format === undefined) {
    format = new Intl.NumberFormat(locale, { style: "currency", currency, ...digits });
    formats.set(key, format);
  }
  return format.format(inCents / 100);
}

/** What a seat of this type costs at this showing, in cents. */
export function priceOf(showing: Pick<Showing, "price" | "prices">, seat: Pick<Seat, "type">): number {
  // A type is the cinema's own word, and may be called as what every object has.
  const own = Object.hasOwn(showing.prices, seat.type) ? showing.prices[seat.type] : undefined;
  return cents(own ?? showing.price);
}

export function total(showing: Pick<Showing, "price" | "prices">, seats: readonly Pick<Seat, "type">[]): number {
  return seats.reduce((sum, seat) => sum + priceOf(showing, seat), 0);
}

/** The least that a seat costs, in cents, and whether others cost more. */
export function leastPrice(showing: Pick<Showing, "price" | "prices">): { cents: number; isOnly: boolean } {
  const all = [showing.price, ...Object.values(showing.prices)].map(cents);
  const least = Math.min(...all);
  return { cents: least, isOnly: all.every((one) => one === least) };
}
