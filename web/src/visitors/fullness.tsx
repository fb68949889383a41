/** How full a showing is, in words and as a quiet bar. */

import type { Showing } from "../box/wire";
import { fullness } from "../core/fullness";
import { seatsLeftText } from "../shared/seats";

export function Fullness({ showing }: { showing: Showing }) {
  const { seats_available: left, seats_total: all } = showing;
  const share = all === 0 ? 1 : 1 - left / all;
  return (
    <span class="fullness" data-fullness={fullness(showing)}>
      <span class="figures">{seatsLeftText(showing)}</span>
      <span class="fullness-bar" aria-hidden="true">
        <span style={{ width: `${Math.round(share * 100)}%` }} />
      </span>
    </span>
  );
}
