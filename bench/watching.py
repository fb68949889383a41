"""Those who watch a showing, and how it is seen that none of them missed anything.

All watchers are to receive the same bytes, so only the first one's are parsed: it leads. The others' are compared with
its own, and parsed from where they differ. That is what lets one core watch a million updates a second.
"""

from __future__ import annotations

import copy
import json
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from bench import framing
from bench.sockets import KEEP_ALIVE, Connection, Door, Loop, all_leave

ENTER_AT_ONCE = 50
"""Fewer than the backlog of any of the systems."""
ENTER_SECONDS = 60.0


class SeatPlan:
    """What a watcher knows of one showing, and whether it missed anything."""

    def __init__(self, showing_id: str, seat_ids: Iterable[str] = ()) -> None:
        """``seat_ids`` are available at version 0, where no present tells the seats."""
        self._topic = f"seats/status/{showing_id}".encode()
        self._packets = framing.PacketReader()
        self.status = dict.fromkeys(seat_ids, "available")
        self.version: int | None = 0
        """None: whatever comes first."""
        self.subscribed = False
        self.live = 0
        self.presents = 0
        self._in_present = False
        self.booked_at: dict[str, float] = {}
        """When each seat was first seen as booked, by ``time.perf_counter``."""
        self.fault = ""

    def feed(self, received: bytes) -> None:
        for first, body in self._packets.feed(received):
            kind = first >> 4
            if kind == framing.CONNACK and body[1] != 0:
                self.fault = self.fault or f"CONNACK {body[1]}"
            elif kind == framing.SUBACK:
                self.subscribed = True
                if body[2] == 0x80:
                    self.fault = self.fault or "the subscription was refused"
            elif kind == framing.PUBLISH:
                self._take(first, body)

    def _take(self, first: int, body: bytes) -> None:
        topic, _, payload = framing.published(first, body)
        if topic != self._topic:
            return
        seat: dict[str, Any] = json.loads(payload)
        version = int(seat["version"])
        if first & 0x01:
            if not self._in_present:
                self._in_present = True
                self.presents += 1
            self.version = max(version, self.version or 0)
        else:
            self._in_present = False
            self.live += 1
            if self.version is not None and version != self.version + 1:
                self.fault = self.fault or f"version {version} came after {self.version}"
            self.version = version
        self.status[seat["seat_id"]] = seat["status"]
        if seat["status"] == "booked":
            self.booked_at.setdefault(seat["seat_id"], time.perf_counter())


class Leader:
    """The watcher that is parsed, and the model for the others."""

    def __init__(self, plan: SeatPlan) -> None:
        self.plan = plan
        self.packets = bytearray()
        """MQTT, as it came from the beginning."""
        self.wire = bytearray()
        """Frames and all, as it came from the socket since ``settle``."""
        self.settled = plan
        """The plan as it was then."""

    def take(self, packets: bytes) -> None:
        self.packets += packets
        self.plan.feed(packets)

    def settle(self) -> None:
        self.wire.clear()
        self.settled = copy.deepcopy(self.plan)

    def has_all(self, wanted: Callable[[SeatPlan], bool]) -> bool:
        return wanted(self.plan)


class Comparison:
    """One stream beside the leader's: equal as far as both have come."""

    def __init__(self, model: bytearray) -> None:
        self._model = model
        self._at = 0
        self._ahead = bytearray()
        """What came that the leader has not got yet."""

    def same(self, received: bytes | memoryview) -> bool:
        # startswith compares without copying, and memory with memory.
        if not self._ahead and self._model.startswith(received, self._at):
            self._at += len(received)
            return True
        self._ahead += received
        return self._catch_up()

    def _catch_up(self) -> bool:
        length = min(len(self._ahead), len(self._model) - self._at)
        if not self._model.startswith(memoryview(self._ahead)[:length], self._at):
            return False
        self._at += length
        del self._ahead[:length]
        return True

    def is_complete(self) -> bool | None:
        """Whether all that the leader has came, and no more; None when something else did."""
        if self._ahead and not self._catch_up():
            return None
        return not self._ahead and self._at == len(self._model)

    def everything(self) -> bytes:
        """The whole stream."""
        return bytes(self._model[: self._at]) + bytes(self._ahead)


class Follower:
    """A watcher that is compared with the leader. Where it got something else, it is parsed from there on."""

    def __init__(self, leader: Leader, blank: SeatPlan) -> None:
        self._leader = leader
        self._blank = blank
        self._packets = Comparison(leader.packets)
        self._wire: Comparison | None = None
        self.plan: SeatPlan | None = None
        """Of its own, once it is parsed."""

    def take(self, packets: bytes) -> None:
        if self.plan is not None:
            self.plan.feed(packets)
        elif not self._packets.same(packets):
            self._parse()

    def settle(self) -> bool:
        """Compare what comes from the socket from here on, unless it is not where the leader is."""
        if self.plan is None and self._packets.is_complete():
            self._wire = Comparison(self._leader.wire)
        return self._wire is not None

    def take_wire(self, received: memoryview) -> bool:
        """False when it differs; what :meth:`unsettle` gives is then to be unpacked, and to be taken."""
        assert self._wire is not None
        return self._wire.same(received)

    def unsettle(self) -> bytes:
        """All that came from the socket since ``settle``."""
        assert self._wire is not None
        everything = self._wire.everything()
        self._wire = None
        self.plan = copy.deepcopy(self._leader.settled)
        return everything

    def has_all(self, wanted: Callable[[SeatPlan], bool]) -> bool:
        """Whether it is where the leader is, or by its own plan satisfies ``wanted``, as the leader's does."""
        if self.plan is None:
            complete = (self._wire or self._packets).is_complete()
            if complete is not None or self._wire is not None:
                return bool(complete)
            self._parse()
        assert self.plan is not None
        return wanted(self.plan)

    def _parse(self) -> None:
        self.plan = self._blank
        self.plan.feed(self._packets.everything())


class Watcher:
    """A browser that looks at a showing: a leader's or a follower's eyes on a connection."""

    def __init__(self, loop: Loop, door: Door, name: str, showing_id: str, eyes: Leader | Follower) -> None:
        self.name = name
        self._showing_id = showing_id
        self.eyes = eyes
        # The leader is read before the others, so that they find what to compare with.
        urgent = isinstance(eyes, Leader)
        self.connection = Connection(loop, door, name, opened=self._enter, received=eyes.take, urgent=urgent)

    def settle(self) -> None:
        if not self.connection.between_frames:
            return
        if isinstance(self.eyes, Leader):
            self.eyes.settle()
            self.connection.read_by(self._lead)
        elif self.eyes.settle():
            self.connection.read_by(self._follow)

    def _enter(self) -> None:
        self.connection.send(
            framing.connect(f"watcher-{uuid.uuid4()}", keep_alive=KEEP_ALIVE)
            + framing.subscribe(1, [f"seats/status/{self._showing_id}"], qos=0)
        )

    def _lead(self) -> None:
        assert isinstance(self.eyes, Leader)
        if count := self.connection.read():
            received = bytes(self.connection.view[:count])
            self.eyes.wire += received
            self.connection.take(received)

    def _follow(self) -> None:
        # This runs for every read of every watcher: what it costs is the generator's cost.
        assert isinstance(self.eyes, Follower)
        if (count := self.connection.read()) and not self.eyes.take_wire(self.connection.view[:count]):
            self.connection.read_by(None)
            self.connection.take(self.eyes.unsettle())


class Audience:
    """All who watch one showing."""

    def __init__(self, loop: Loop, door: Door, showing_id: str, seat_ids: Sequence[str] = ()) -> None:
        """``seat_ids`` where no present tells them."""
        self._loop = loop
        self._door = door
        self._showing_id = showing_id
        self._seat_ids = seat_ids
        self.leader = Leader(SeatPlan(showing_id, seat_ids))
        self.watchers: list[Watcher] = []

    def enter(self, count: int, *, seats: int) -> None:
        """Let so many more in, a few at once, and wait until each knows all ``seats``."""

        def knows_all(plan: SeatPlan) -> bool:
            return plan.subscribed and len(plan.status) >= seats

        while count > 0:
            some = [self._watcher(len(self.watchers) + number) for number in range(min(ENTER_AT_ONCE, count))]
            self.watchers += some
            count -= len(some)
            self._loop.run(partial(self.has_all, knows_all, some), ENTER_SECONDS, "not everybody saw every seat")

    def leave(self) -> None:
        all_leave(self._loop, [watcher.connection for watcher in self.watchers])
        self.watchers.clear()

    def settle(self) -> None:
        """At a quiet moment: from here on compare whole reads, frames and all."""
        for watcher in self.watchers:
            watcher.settle()

    def has_all(self, wanted: Callable[[SeatPlan], bool], watchers: Sequence[Watcher] | None = None) -> bool:
        """Whether each satisfies ``wanted``. A gap that one of them saw fails the round."""
        watchers = self.watchers if watchers is None else watchers
        has_all = all(watcher.eyes.has_all(wanted) for watcher in watchers)
        for watcher in watchers:
            if watcher.eyes.plan is not None and watcher.eyes.plan.fault:
                self._loop.fail(f"{watcher.name}: {watcher.eyes.plan.fault}")
        return has_all

    def plans(self) -> list[SeatPlan]:
        """Each watcher's."""
        return [watcher.eyes.plan or self.leader.plan for watcher in self.watchers]

    def _watcher(self, number: int) -> Watcher:
        eyes = Follower(self.leader, SeatPlan(self._showing_id, self._seat_ids)) if number else self.leader
        return Watcher(self._loop, self._door, f"watcher {number + 1}", self._showing_id, eyes)
