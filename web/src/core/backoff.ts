/** Growing delays between attempts, so that a box that comes back is not run over by everybody at once. */

const FIRST = 500;
const LONGEST = 30_000;

/** The delay before the next attempt after so many failed ones (from 1), in milliseconds: doubling, and anywhere in
 * its upper half. `random` is in [0, 1). */
export function delayAfter(failures: number, random: number): number {
  const whole = Math.min(LONGEST, FIRST * 2 ** (failures - 1));
  return whole * (0.5 + random / 2);
}
