"""Whose turn it is to have a password checked: a check is dear, and strangers may ask for as many as they like.

Each address has a line of its own, and one place in the round that goes from address to address. So a flood from one
phone delays everybody else by one check at most, and itself the more. Plain code: no threads, no clock.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

ADDRESSES = 16
"""Addresses whose checks wait, one of each in the round."""

BEHIND = 7
"""Checks of one address that stand in its own line, behind the one that is in the round."""

T = TypeVar("T")


@dataclass(slots=True)
class _Line(Generic[T]):
    waiting: deque[T] = field(default_factory=deque)
    is_known: bool = False


class Turns(Generic[T]):
    """The round. ``T`` is whatever stands for one check that waits."""

    def __init__(self) -> None:
        self._round: OrderedDict[str, _Line[T]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(line.waiting) for line in self._round.values())

    def join(self, address: str, check: T, *, is_known: bool = False) -> list[T] | None:
        """Stand in the address's line. None if there is no place; else those who lost theirs to it.

        ``is_known``: the user signed in from there lately, and takes the place of a stranger's address if all are
        taken.
        """
        line, lost = self._round.get(address), []
        if line is None:
            if len(self._round) >= ADDRESSES:
                stranger = next((a for a, each in reversed(self._round.items()) if not each.is_known), None)
                if not is_known or stranger is None:
                    return None
                lost = list(self._round.pop(stranger).waiting)
            line = self._round[address] = _Line()
        elif len(line.waiting) > BEHIND:
            return None
        line.is_known = line.is_known or is_known
        line.waiting.append(check)
        return lost

    def next(self) -> T | None:
        """Whose turn it is, who leaves the line with that; None where nobody waits."""
        if not self._round:
            return None
        address, line = self._round.popitem(last=False)
        check = line.waiting.popleft()
        if line.waiting:
            self._round[address] = line  # behind all others
        return check

    def leave(self, address: str, check: T) -> None:
        """Somebody waits no longer."""
        line = self._round.get(address)
        if line is not None and check in line.waiting:
            line.waiting.remove(check)
            if not line.waiting:
                del self._round[address]
