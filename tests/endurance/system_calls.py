"""What strace saw of a box: what it wrote to its log and its sockets, and when the log was on disk.

``kill -9`` leaves the page cache as it is, so no torture shows that a booking is on the disk before somebody hears of
it. The order of the system calls does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

STRACE = ("strace", "-D", "-f", "-q", "-yy", "-xx", "-s", "70000")
"""As the box's child, so that the box is ours to stop; with what each descriptor is, all bytes as hex."""
CALLS = "trace=fsync,fdatasync,write,pwrite64,writev,sendto,sendmsg"

_CALL = re.compile(r"^(\d+) +(?:<\.\.\. )?(\w+)(?:\((.*)| resumed>(.*))$")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR = re.compile(r"^\d+<(.*?)>(?=[,)]| <unfinished)")


@dataclass(frozen=True, slots=True)
class Call:
    """One system call that succeeded. ``began`` and ``ended`` are the lines of the trace on which it did."""

    name: str
    target: str
    """The file or socket, as strace names it."""
    data: bytes
    began: int
    ended: int

    @property
    def is_sync(self) -> bool:
        return self.name in ("fsync", "fdatasync")


def calls(trace: Iterable[str]) -> Iterator[Call]:
    """The calls of a trace, in the order in which they ended."""
    unfinished: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(trace):
        found = _CALL.match(line.rstrip("\n"))
        if found is None:
            continue
        thread, name, arguments, rest = found.groups()
        began = number
        if arguments is None:
            arguments, began = unfinished.pop(thread, ("", number))
            arguments += rest
        elif arguments.endswith("<unfinished ...>"):
            unfinished[thread] = arguments, number
            continue
        descriptor = _DESCRIPTOR.match(arguments)
        if descriptor is None or " = -1 " in arguments:
            continue
        data = b"".join(bytes.fromhex(text.replace("\\x", "")) for text in _STRING.findall(arguments))
        yield Call(name, _readable(descriptor[1]), data, began, number)


def _readable(target: str) -> str:
    return re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), target)


def told_too_early(seen: Iterable[Call], name: bytes) -> list[str]:
    """What is wrong with how a booking was told that is named so (its id).

    The first write of the log that has it is of its transaction; a sync of the log must have begun after that, and
    ended before anything that names it leaves for a client.
    """
    written, synced = None, None
    for call in sorted(seen, key=lambda call: call.ended):
        is_log = call.target.endswith("-wal")
        if is_log and call.is_sync:
            if written is not None and synced is None and call.began > written:
                synced = call.ended
        elif name not in call.data:
            continue
        elif is_log:
            written = call.ended if written is None else written
        elif "TCP" in call.target and (synced is None or call.began < synced):
            return [f"{name.decode()} left for {call.target} before it was on disk"]
    return [] if synced is not None else [f"{name.decode()} was never brought to disk"]
