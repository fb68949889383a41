"""How often something may happen: so often per second on average, so many times at once, for each key by itself.

Our own and not a library's: it is asked for each packet, must forget the keys of connections that have ended, and takes
its clock as an argument.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

KEYS_AT_MOST = 16_384
"""Keys that one rate remembers; of more the one that was used longest ago counts from the beginning again."""


ROUNDING = 1e-6
"""Seconds that nobody is told to wait for: sums of fractions of a second are not exact."""


class Rate:
    """At most ``number`` in ``seconds`` on average, and ``burst`` (``number`` where it is left out) at once.

    Of each key one moment is remembered: when all that it has taken will be worked off at that rate (the generic cell
    rate algorithm of ATM traffic control). ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self, number: int, seconds: float, *, burst: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._each = seconds / number
        self._most_ahead = self._each * ((burst or number) - 1) + ROUNDING
        self._clock = clock
        self._worked_off_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._worked_off_at)

    def take(self, key: str) -> float:
        """Count one, if there is room for it. Returns 0.0 then, else the seconds until there is; which counts
        nothing."""
        now = self._clock()
        worked_off_at = max(self._worked_off_at.get(key, now), now)
        wait = worked_off_at - now - self._most_ahead
        if wait > 0:
            return wait
        self._worked_off_at[key] = worked_off_at + self._each
        self._worked_off_at.move_to_end(key)
        if len(self._worked_off_at) > KEYS_AT_MOST:
            self._worked_off_at.popitem(last=False)
        return 0.0

    def has_room(self, key: str) -> bool:
        """Whether there is room for one; counts nothing."""
        now = self._clock()
        return self._worked_off_at.get(key, now) - now <= self._most_ahead

    def forget(self, key: str) -> None:
        """Keep nothing of a key that will not be used again, as that of a connection that has ended."""
        self._worked_off_at.pop(key, None)
