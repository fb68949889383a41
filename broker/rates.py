"""How often something may happen: so often per second on average, so many times at once, for each key by itself."""

from __future__ import annotations

from datetime import timedelta

from throttled import Throttled
from throttled.rate_limiter import Quota, per_duration
from throttled.store import MemoryStore

KEYS_AT_MOST = 65_536
"""Keys that one rate remembers; of more the one that was used longest ago counts from the beginning again."""


NO_KEY = "-"
"""The empty key, which the library does not take."""


class Rate:
    """At most ``number`` in ``seconds`` on average, and ``burst`` at once (GCRA). Monotonic time, bounded memory.

    ``burst`` is ``number`` where it is left out. Takes some 5 µs; everything runs in the loop.
    """

    def __init__(self, number: int, seconds: float, *, burst: int | None = None) -> None:
        quota: Quota = per_duration(timedelta(seconds=seconds), number, burst or number)
        self._throttled = Throttled(
            using="gcra", quota=quota, store=MemoryStore(options={"MAX_SIZE": KEYS_AT_MOST}), timeout=-1
        )

    def take(self, key: str) -> float:
        """Count one, if there is room for it. Returns 0.0 then, else the seconds until there is; which counts
        nothing."""
        result = self._throttled.limit(key or NO_KEY)
        return max(result.state.retry_after, 0.001) if result.limited else 0.0

    def has_room(self, key: str) -> bool:
        """Whether there is room for one; counts nothing."""
        return self._throttled.peek(key or NO_KEY).remaining >= 1
