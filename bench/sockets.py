"""Many connections in one thread: an epoll loop over sockets that do not block.

There are urgent connections and patient ones. Kiosks are urgent: between two handfuls of watchers it is looked
whether a confirmation came, so that a latency is not the time that it took to read what the watchers were sent.
"""

from __future__ import annotations

import ipaddress
import select
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from bench import framing

READ_BYTES = 1 << 18
HANDFUL = 32
"""So many patient connections are read before the urgent ones are looked after again."""
LOOK_SECONDS = 0.01
TIMER_SECONDS = 0.001
"""epoll's own clock has milliseconds: so much before a timer is due, waiting becomes looking."""
CONNECT_SECONDS = 10.0
LEAVE_SECONDS = 20.0
STAYED = "the system did not close the connections of those who left"
NORMAL_CLOSURE = (1000).to_bytes(2)
KEEP_ALIVE = 240
"""Seconds; longer than a round, so that nobody needs to say that he is still there."""


class RoundFailed(Exception):  # noqa: N818  # a round's outcome
    """The round does not count; the message says why."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where a system takes connections."""

    host: str
    port: int
    websocket: bool

    def __post_init__(self) -> None:
        if not ipaddress.ip_address(self.host).is_loopback:
            raise ValueError("the load goes to loopback alone")


class Loop:
    """Calls the readers of the sockets that have something to read."""

    def __init__(self) -> None:
        self._urgent = select.epoll()
        self._patient = select.epoll()
        self._urgent.register(self._patient.fileno(), select.EPOLLIN)
        self._readers: dict[int, Callable[[], None]] = {}
        self._timer: tuple[float, Callable[[], None]] | None = None
        self.buffer = bytearray(READ_BYTES)
        """What was read last, for one reader at a time."""
        self.failure = ""
        self.late = 0.0
        """The most seconds that the timer was served after its time."""

    def add(self, fd: int, reader: Callable[[], None], *, urgent: bool) -> None:
        self._readers[fd] = reader
        (self._urgent if urgent else self._patient).register(fd, select.EPOLLIN)

    def replace(self, fd: int, reader: Callable[[], None]) -> None:
        self._readers[fd] = reader

    def remove(self, fd: int) -> None:
        """Closing the socket takes it out of its epoll, too."""
        del self._readers[fd]

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Call at this time of ``time.perf_counter``. There is one timer: the latest set."""
        self._timer = when, call

    def fail(self, reason: str) -> None:
        """The round is lost; the first reason counts."""
        self.failure = self.failure or reason

    def run(self, done: Callable[[], bool], seconds: float, otherwise: str) -> None:
        """Serve the sockets until ``done``, which is asked every few milliseconds.

        Raises RoundFailed when a reader failed, or after ``seconds`` with ``otherwise``.
        """
        looked, until = 0.0, time.perf_counter() + seconds
        while True:
            if self.failure:
                raise RoundFailed(self.failure)
            now = time.perf_counter()
            if now - looked >= LOOK_SECONDS:
                if done():
                    return
                if now > until:
                    raise RoundFailed(f"{otherwise}, in {seconds:.0f} s")
                looked = now
            timeout = LOOK_SECONDS
            if self._timer is not None:
                when, _ = self._timer
                timeout = min(timeout, max(0.0, when - now - TIMER_SECONDS))
            self._turn(timeout)

    def breathe(self) -> None:
        """Serve the sockets once, in the middle of other work."""
        self._turn(0.0)

    def run_for(self, seconds: float) -> None:
        until = time.perf_counter() + seconds
        self.run(lambda: time.perf_counter() >= until, seconds + 1, "the clock stood still")

    def _turn(self, timeout: float) -> None:
        if self._timer is not None and (now := time.perf_counter()) >= self._timer[0]:
            when, call = self._timer
            self._timer = None
            self.late = max(self.late, now - when)
            call()
        readers, patient_fd = self._readers, self._patient.fileno()
        patient = False
        for fd, _ in self._urgent.poll(timeout):
            if fd == patient_fd:
                patient = True
            elif reader := readers.get(fd):
                reader()
        if patient:
            for fd, _ in self._patient.poll(0, HANDFUL):
                if reader := readers.get(fd):
                    reader()


def all_leave(loop: Loop, connections: Sequence[Connection]) -> None:
    """Say good-bye for all of them, and wait until the system has closed them."""
    for number, connection in enumerate(connections, start=1):
        connection.leave()
        if number % HANDFUL == 0:
            loop.breathe()
    loop.run(lambda: all(connection.gone for connection in connections), LEAVE_SECONDS, STAYED)


class Connection:
    """One connection over TCP or WebSocket. ``opened`` is called when MQTT may be sent, ``received`` with MQTT."""

    def __init__(
        self,
        loop: Loop,
        door: Door,
        name: str,
        *,
        opened: Callable[[], None],
        received: Callable[[bytes], None],
        urgent: bool = False,
    ) -> None:
        self._loop = loop
        self._name = name
        self._opened = opened
        self._received = received
        self._frames = framing.FrameReader() if door.websocket else None
        self._upgrade: bytearray | None = bytearray() if door.websocket else None
        self._leaving = False
        self.gone = False
        self.view = memoryview(loop.buffer)
        self._socket = socket.socket(socket.AF_INET6 if ":" in door.host else socket.AF_INET)
        self._socket.settimeout(CONNECT_SECONDS)
        try:
            # The kernel answers on loopback at once, unless the system's backlog is full.
            self._socket.connect((door.host, door.port))
        except OSError as error:
            self._socket.close()
            raise RoundFailed(f"{name} could not connect: {error}") from None
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop.add(self._socket.fileno(), self._readable, urgent=urgent)
        if door.websocket:
            self._write(framing.upgrade(door.host, door.port))
        else:
            opened()

    def read(self) -> int:
        """How many bytes came into the loop's buffer; 0 when there are none, or no more ever."""
        try:
            count = self._socket.recv_into(self._loop.buffer)
        except BlockingIOError:
            return 0
        except OSError:
            count = 0
        if not count:
            self._end()
        return count

    def read_by(self, reader: Callable[[], None] | None) -> None:
        """Let another read the bytes as they came from the socket; None gives them back to ``received``."""
        if not self.gone:
            self._loop.replace(self._socket.fileno(), reader or self._readable)

    @property
    def between_frames(self) -> bool:
        return self._frames is None or self._frames.between_frames

    def take(self, data: bytes) -> None:
        """What came from the socket: unpack it and hand it on."""
        if self._upgrade is not None:
            self._upgrade += data
            head, end, data = bytes(self._upgrade).partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in head.split(b"\r\n")[0]:
                self._loop.fail(f"{self._name} got no WebSocket: {head.splitlines()[0].decode('latin-1')}")
                return
            self._upgrade = None
            self._opened()
        if self._frames is None:
            self._received(data)
            return
        if data and (payload := self._frames.feed(data)):
            self._received(payload)
        for ping in self._frames.pings:
            self._write(framing.client_frame(ping, opcode=10))
        self._frames.pings.clear()
        if self._frames.closed:
            self._end()

    def send(self, packets: bytes) -> None:
        self._write(packets if self._frames is None else framing.client_frame(packets))

    def leave(self) -> None:
        """Say good-bye; the system closes the connection, and then it is ``gone``."""
        if self.gone:
            return
        self._leaving = True
        self.send(framing.DISCONNECT)
        if self._frames is not None:
            self._write(framing.client_frame(NORMAL_CLOSURE, opcode=8))
        if not self.gone:
            with suppress(OSError):  # the system was faster
                self._socket.shutdown(socket.SHUT_WR)

    def drop(self) -> None:
        """Close without a word."""
        self._leaving = True
        self._end()

    def _readable(self) -> None:
        if count := self.read():
            self.take(bytes(self.view[:count]))

    def _write(self, data: bytes) -> None:
        if self.gone:
            return
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._end()
            return
        if sent < len(data):
            # What is sent here is small, and waits for its answer: whoever does not read it is stuck.
            self._loop.fail(f"{self._name} could not send: the system does not read")

    def _end(self) -> None:
        if self.gone:
            return
        self.gone = True
        self._loop.remove(self._socket.fileno())
        self._socket.close()
        if not self._leaving:
            self._loop.fail(f"{self._name} was disconnected")
