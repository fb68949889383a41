"""Whose turn it is to have a password checked: a check is dear, and strangers may ask for as many as they like.

Each address has a line of its own, and one place in the round that goes from line to line. So a flood from one phone
delays everybody else by one check at most, and itself the more. Whom the box knows from an address stands in another
line than strangers there, and where all places are taken, takes one of somebody of a lower rank. Plain code: no
threads, no clock.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from enum import IntEnum
from typing import Generic, TypeVar

LINES = 16
"""Lines whose checks wait, one of each in the round."""

BEHIND = 7
"""Checks of one line that stand behind the one that is in the round."""

T = TypeVar("T")


class Rank(IntEnum):
    """Who asks, as far as one can say before the check."""

    STRANGER = 0
    KNOWN = 1
    """The user signed in from this address lately."""
    HOUSE = 2
    """And is a kiosk or a manager: no crowd of customers keeps these out."""


Line = tuple[Rank, str]


class Turns(Generic[T]):
    """The round. ``T`` is whatever stands for one check that waits."""

    def __init__(self) -> None:
        self._round: OrderedDict[Line, deque[T]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._round.values()))

    def join(self, address: str, check: T, rank: Rank = Rank.STRANGER) -> list[T] | None:
        """Stand in the line of that rank and address. None if there is no place; else those who lost theirs to it."""
        line, lost = (rank, address), list[T]()
        if line not in self._round:
            if len(self._round) >= LINES:
                lowest = min(reversed(self._round), key=lambda other: other[0])  # of these the latest
                if lowest[0] >= rank:
                    return None
                lost = list(self._round.pop(lowest))
            self._round[line] = deque()
        elif len(self._round[line]) > BEHIND:
            return None
        self._round[line].append(check)
        return lost

    def next(self) -> T | None:
        """Whose turn it is, who leaves the line with that; None where nobody waits."""
        if not self._round:
            return None
        line, waiting = self._round.popitem(last=False)
        check = waiting.popleft()
        if waiting:
            self._round[line] = waiting  # behind all others
        return check

    def leave(self, address: str, check: T, rank: Rank = Rank.STRANGER) -> None:
        """Somebody waits no longer."""
        waiting = self._round.get((rank, address))
        if waiting is not None and check in waiting:
            waiting.remove(check)
            if not waiting:
                del self._round[rank, address]
