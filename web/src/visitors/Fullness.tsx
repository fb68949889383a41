/** How full a showing is, in words and as a quiet bar. */

import type { Showing } from "../box/wire";
import { seatsLeftText } from "../shared/seats";

export function Fullness({ showing }: { showing: Showing }) {
  const { seats_available: left, seats_total: all } = showing;
  const share = all === 0 ? 1 : 1 - left / all;
  const how = left === 0 ? "none" : left <= Math.max(3, all / 10) ? "few" : "many";
  return (
    <span class="fullness" data-left={how}>
      <span class="figures">{seatsLeftText(showing)}</span>
      <span class="fullness-bar" aria-hidden="true">
        <span style={{ width: `${Math.round(share * 100)}%` }} />
      </span>
    </span>
  );
}
