"""``make torture``: storms, kill -9 at a random moment of each, a restart, and everything that must hold then."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer
from contract.house import HOUR, House, build, new_id
from contract.process import BoxProcess
from raw_mqtt import CONNACK, PUBACK, PUBLISH, SUBACK, RawClient, TcpTransport, acknowledgement, connect, publish
from raw_mqtt import subscribe as subscribe_packet

from broker.host import plugin_classes
from config import load_settings
from endurance.diary import Books, Diary, Request, contradicted, forgotten, gone, lost_holds, title_of, unsound
from endurance.moments import MOMENTS
from endurance.storm import BY_HTTP, BY_MQTT, Cinema, Progress, sign_in, storm, url_of
from plugins.booking import imports

ROUNDS_PER_CINEMA = 2
"""Then a new file begins, so that all rounds cost the same, and nobody comes to cancel more than one may, nor all
together more than one address may."""
SEATS = 400
SEATS_PER_ROW = 50
DEADLINE = 20.0
"""Only guards against a box that never does what is waited for: seconds."""

NO_LIMITS = {
    f"LYNRIE_LIMITS__{name}": 10**6
    for name in (
        "CONNECTIONS_PER_SECOND",
        "CONNECTIONS_BURST",
        "MESSAGES_PER_SECOND",
        "MESSAGES_BURST",
        "MAX_CONNECTIONS_PER_ADDRESS",
        "VISITORS_PER_HOUR",
        "VISITORS_TOTAL",
    )
} | {"LYNRIE_BOOKING__MAX_HELD_PER_ADDRESS": 10**6}
"""The storm comes from one address, and faster than any people."""


class Broken(Exception):  # noqa: N818  # a round's outcome
    """What must hold did not; the message says what."""


@dataclass
class Stage:
    """One cinema's file over some rounds, and what is known of it from the rounds before."""

    house: House
    path: Path
    showing_ids: list[str]
    seat_ids: list[str]
    box: BoxProcess | None = None
    before: Books | None = None
    tokens: dict[str, str] = field(default_factory=dict)
    void_tokens: set[str] = field(default_factory=set)

    @classmethod
    def build(cls, house: House, folder: Path, rounds: int) -> Stage:
        """The house with one hall more, and a showing there for each round."""
        folder.mkdir(parents=True)
        path = folder / "box.db"
        shutil.copyfile(house.path, path)
        showing_ids = [new_id() for _ in range(rounds)]
        _open_the_hall(path, showing_ids, house.opened_at)
        books = Books.read(path)
        assert all(showing_id in books.versions for showing_id in showing_ids)
        return cls(house, path, showing_ids, _seats_of_the_hall(path))

    async def start(self, chance: random.Random) -> BoxProcess:
        hold_seconds = chance.choice((1, 1, 2, 3))
        self.box = await BoxProcess.start(self.path, LYNRIE_BOOKING__HOLD_SECONDS=hold_seconds, **NO_LIMITS)
        return self.box

    def showings(self, number: int) -> list[str]:
        """What is on sale in this round: its own showing first, then the one before."""
        return self.showing_ids[number::-1][:2]

    def as_left(self) -> Books:
        """What the file says now that nobody has it open. Of a copy: whoever opens it cleans up in it."""
        folder = Path(tempfile.mkdtemp(dir=self.path.parent))
        for name in (self.path.name, f"{self.path.name}-wal"):
            if (self.path.parent / name).exists():
                shutil.copyfile(self.path.parent / name, folder / name)
        books = Books.read(folder / self.path.name)
        shutil.rmtree(folder)
        return books


@dataclass(frozen=True, slots=True)
class Round:
    """What one round was."""

    moment: str
    acknowledged: int
    confirmed: int
    held: int
    repeated: int
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.moment}: {self.acknowledged} acknowledged, {self.confirmed} confirmed, {self.held} held, "
            f"{self.repeated} repeated; {self.seconds:.1f} s"
        )


def moments(rounds: int, seed: int) -> Iterator[str]:
    """The kinds of moments in a random order, each as often as the others."""
    chance = random.Random(seed)
    waiting: list[str] = []
    for _ in range(rounds):
        if not waiting:
            waiting = chance.sample(list(MOMENTS), len(MOMENTS))
        yield waiting.pop()


async def play(stage: Stage, number: int, moment: str, seed: str) -> Round:
    """A storm on the box that runs, the power cut, the restart and all that must hold. Raises Broken.

    ``number`` is the round's within its cinema. The box runs on afterwards.
    """
    began, chance, progress = time.monotonic(), random.Random(seed), Progress()
    box = stage.box or await stage.start(chance)
    cinema = Cinema(stage.house, stage.showings(number), stage.seat_ids)
    raging = asyncio.create_task(storm(box, cinema, seed, progress))
    await MOMENTS[moment](box, stage.path, progress, chance)
    cut_at = time.time()
    if box.process.returncode is None:
        raise Broken("the box ran on")
    diary = await raging
    left = stage.as_left()
    require(
        diary.faults,
        unsound(left),
        forgotten(left, diary),
        lost_holds(left, diary, stage.house.user_ids, cut_at),
        gone(stage.before, left, diary.cancels) if stage.before else (),
    )
    box = await stage.start(chance)
    for showing_id in cinema.showing_ids:
        require(await present_faults(stage, box, showing_id, left))
    async with asyncio.timeout(DEADLINE):
        require(await hold_faults(stage, box, diary, left))
        require(await token_faults(stage, box, diary))
        require(await repeat(stage, box, diary, left, chance))
        for showing_id in cinema.showing_ids:
            await until_nothing_is_reserved(box, showing_id, stage.seat_ids)
    after = Books.read(stage.path)
    confirmed = after.confirmed(cinema.showing_ids[:1])
    require(
        unsound(after),
        forgotten(after, diary),
        gone(left, after, diary.cancels),
        _still_to_sell(after, cinema, confirmed),
        ["a Traceback was logged"] if "Traceback" in box.said else (),
    )
    stage.before = after
    return Round(
        moment, progress.acknowledged, confirmed, len(diary.holds), len(diary.requests), time.monotonic() - began
    )


def require(*found: Iterable[str]) -> None:
    """Raises Broken with all that was found to be wrong."""
    faults = [fault for faults in found for fault in faults]
    if faults:
        raise Broken("; ".join(faults[:10]) + (f"; and {len(faults) - 10} more" if len(faults) > 10 else ""))


def _still_to_sell(books: Books, cinema: Cinema, confirmed: int) -> Iterator[str]:
    """A round in which nothing could be sold shows little."""
    showing_id = cinema.showing_ids[0]
    if not any(books.status(showing_id, seat_id) == "available" for seat_id in cinema.seat_ids):
        yield "the round's showing was sold out"
    if not confirmed:
        yield "no booking was confirmed in this round"


# After the restart


async def guest(box: BoxProcess) -> RawClient:
    client = RawClient(await TcpTransport.open(box.tcp))
    await client.send(connect())
    await client.next(CONNACK)
    return client


async def present_faults(stage: Stage, box: BoxProcess, showing_id: str, left: Books) -> list[str]:
    """Hold the present of a fresh subscriber, the answer over HTTP and the file against each other, seat by seat.

    Holds run out meanwhile, so all three are read until they are of one version.
    """
    client = await guest(box)
    await client.send(subscribe_packet(f"seats/status/{showing_id}"))
    present: dict[str, str] = {}
    versions: tuple[int, ...] = ()
    async with aiohttp.ClientSession(url_of(box)) as session:
        while len(set(versions)) != 1:
            try:
                packet = await client.packet()
            except TimeoutError:
                told = ", ".join(map(str, versions)) or "none"
                return [f"versions of {showing_id} in the present, over HTTP and in the file: {told}"]
            assert packet is not None, "the box closed a guest's connection"
            if packet.kind == SUBACK:
                continue
            body = json.loads(packet.payload)
            present[body["seat_id"]] = body["status"]
            if len(present) < len(stage.seat_ids):
                continue
            async with session.get(f"/api/showings/{showing_id}/seats") as response:
                over_http = await response.json()
            books = Books.read(stage.path)
            versions = body["version"], over_http["version"], books.versions[showing_id]
    version = versions[0]
    await client.close()
    faults = []
    if version < left.versions[showing_id]:
        faults.append(f"the version of {showing_id} went back from {left.versions[showing_id]} to {version}")
    by_http = {seat["seat_id"]: seat["status"] for seat in over_http["seats"]}
    for seat_id in stage.seat_ids:
        stored = books.status(showing_id, seat_id)
        if not stored == present[seat_id] == by_http[seat_id]:
            faults.append(
                f"the seat {seat_id} is {stored} in the file, {present[seat_id]} in the present, "
                f"{by_http[seat_id]} over HTTP"
            )
    return faults


async def hold_faults(stage: Stage, box: BoxProcess, diary: Diary, left: Books) -> list[str]:
    """Holds that still run are told to whom they belong; over HTTP, as GET /api/holds has them."""
    faults = []
    for name in {name for name, _, _ in diary.holds}:
        headers = {"Authorization": f"Bearer {stage.house.tokens[name]}"}
        async with (
            aiohttp.ClientSession(url_of(box), headers=headers) as session,
            session.get("/api/holds") as response,
        ):
            told = {(one["showing_id"], seat_id) for one in await response.json() for seat_id in one["seat_ids"]}
        now = time.time()
        for (owner, showing_id, seat_id), until in diary.holds.items():
            if owner == name and until > now and (showing_id, seat_id) not in told:
                faults.append(f"{name}'s hold of {seat_id} did not outlive the restart")
    return faults


async def token_faults(stage: Stage, box: BoxProcess, diary: Diary) -> list[str]:
    """Every token that was given out opens the box; none that was taken back does."""
    stage.tokens.update(diary.tokens)
    stage.void_tokens |= diary.void_tokens
    faults = []
    async with aiohttp.ClientSession(url_of(box)) as session:

        async def status(token: str) -> int:
            async with session.get("/api/me", headers={"Authorization": f"Bearer {token}"}) as response:
                return response.status

        for token, name in list(stage.tokens.items())[-40:]:
            if (answered := await status(token)) != 200:
                faults.append(f"a token of {name} was answered {answered}")
        for token in list(stage.void_tokens)[-10:]:
            if (answered := await status(token)) != 401:
                faults.append(f"a token that was void was answered {answered}")
    return faults


async def repeat(stage: Stage, box: BoxProcess, diary: Diary, left: Books, chance: random.Random) -> list[str]:
    """Send all requests again, by another way than at first or by the same: each has one outcome, the first one."""
    answers: dict[str, dict[str, Any]] = {}
    faults: list[str] = []
    for name in (*BY_MQTT, *BY_HTTP):
        mine = {booking_id: one for booking_id, one in diary.requests.items() if one.sender == name}
        cancelled = [one for one, acknowledged in diary.cancels.items() if acknowledged and one in mine]
        if chance.random() < 0.5:
            await _repeat_by_mqtt(stage, box, name, mine, answers)
        else:
            faults += await _repeat_by_http(stage, box, name, mine, cancelled, answers)
    for booking_id, request in diary.requests.items():
        answer, stored = answers.get(booking_id), left.outcome(booking_id)
        if request.refused:
            continue
        if answer is None:
            faults.append(f"the request {booking_id} of {request.sender} was repeated and not answered")
        elif answer["status"] == "cancelled":
            if stored is None or stored.status != "cancelled":
                faults.append(f"the request {booking_id} was repeated and told as cancelled, it was {stored}")
        elif stored is not None:
            faults += contradicted(booking_id, answer, stored, may_be_cancelled=False)
    return faults


async def _repeat_by_mqtt(
    stage: Stage, box: BoxProcess, name: str, mine: dict[str, Request], answers: dict[str, dict[str, Any]]
) -> None:
    client = await sign_in(box, stage.house, name)
    bodies = [request.body for request in mine.values()]
    packets = [
        publish("booking/request", json.dumps(body).encode(), qos=1, packet_id=number)
        for number, body in enumerate(bodies, start=1)
    ]
    if packets:
        await client.send(*packets)
    acknowledged = 0
    while acknowledged < len(packets):
        packet = await client.packet()
        assert packet is not None, f"the box closed {name}'s connection"
        if packet.kind == PUBACK:
            acknowledged += 1
        elif packet.kind == PUBLISH:
            if packet.topic.startswith("booking/confirm/"):  # an outcome may come with the present instead
                body = json.loads(packet.payload)
                answers.setdefault(body["booking_id"], body)
            if packet.qos:
                await client.send(acknowledgement(PUBACK, packet.packet_id))
    await client.close()


async def _repeat_by_http(
    stage: Stage,
    box: BoxProcess,
    name: str,
    mine: dict[str, Request],
    cancelled: list[str],
    answers: dict[str, dict[str, Any]],
) -> list[str]:
    faults = []
    headers = {"Authorization": f"Bearer {stage.house.tokens[name]}"}
    async with aiohttp.ClientSession(url_of(box), headers=headers) as session:
        for booking_id, request in mine.items():
            async with session.post("/api/bookings", json=request.body) as response:
                told = await response.json()
            if "status" in told:
                answers[booking_id] = told
        for booking_id in cancelled:
            if answers.get(booking_id, {}).get("status") != "cancelled":
                continue  # it was refused or failed, and could not be cancelled
            async with session.delete(f"/api/bookings/{booking_id}") as response:
                told = await response.json()
            if told.get("status") != "cancelled":
                faults.append(f"the cancellation of {booking_id} was repeated and answered {told}")
    return faults


async def until_nothing_is_reserved(box: BoxProcess, showing_id: str, seat_ids: list[str]) -> None:
    """Every seat is available or booked as soon as the holds' time is up. Raises Broken if one never is."""
    client = await guest(box)
    await client.send(subscribe_packet(f"seats/status/{showing_id}"))
    states: dict[str, str] = {}
    try:
        while len(states) < len(seat_ids) or "reserved" in states.values():
            packet = await client.packet()
            assert packet is not None, "the box closed a guest's connection"
            if packet.kind == PUBLISH:
                body = json.loads(packet.payload)
                states[body["seat_id"]] = body["status"]
    except TimeoutError:
        stuck = [seat_id for seat_id, status in states.items() if status == "reserved"]
        raise Broken(f"{len(stuck)} seats stay reserved, such as {stuck[:1]}") from None
    finally:
        await client.close()


# The cinema


def _open_the_hall(path: Path, showing_ids: list[str], now: int) -> None:
    def start(number: int) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + 24 * HOUR + 3 * HOUR * number))

    rows = [{"row": str(row + 1), "seats": SEATS_PER_ROW} for row in range(SEATS // SEATS_PER_ROW)]
    showings = [
        {
            "showing_id": showing_id,
            "room": "The hall",
            "starts_at": start(number),
            "title": title_of(0),
            "price": "9.50",
        }
        for number, showing_id in enumerate(showing_ids)
    ]
    source = path.with_suffix(".json")
    source.write_text(json.dumps({"rooms": [{"name": "The hall", "rows": rows}], "showings": showings}))
    settings = load_settings(database={"path": str(path)})
    imports.import_file(source, settings, plugin_classes(settings), now=now)


def _seats_of_the_hall(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        query = "SELECT seat_id FROM seats JOIN rooms USING (room_id) WHERE name = 'The hall' ORDER BY position"
        return [seat_id for (seat_id,) in db.execute(query)]


# The command line


async def torture(rounds: int, seed: int, folder: Path) -> list[Round]:
    """So many rounds; tells each on standard output. Raises Broken; the file then stays in ``folder``."""
    played: list[Round] = []
    stage: Stage | None = None
    house = build(folder)
    try:
        for number, moment in enumerate(moments(rounds, seed)):
            place = number % ROUNDS_PER_CINEMA
            if place == 0:
                if stage is not None:
                    await close(stage)
                some = min(ROUNDS_PER_CINEMA, rounds - number)
                stage = Stage.build(house, folder / f"from-round-{number + 1}", some)
            assert stage is not None
            try:
                played.append(await play(stage, place, moment, f"{seed} {number + 1}"))
            except (Broken, AssertionError, TimeoutError) as error:
                raise Broken(
                    f"Round {number + 1} ({moment}) of seed {seed}: {error or type(error).__name__}. "
                    f"The database: {stage.path}"
                ) from error
            print(f"{number + 1}/{rounds} {played[-1]}", flush=True)
        if stage is not None:
            await close(stage)
    finally:
        if stage is not None and stage.box is not None:
            await stage.box.put_away()
    return played


async def close(stage: Stage) -> None:
    """The end of a cinema: a clean stop, and the file goes."""
    assert stage.box is not None
    if (status := await stage.box.stop()) != 0:
        raise Broken(f"SIGTERM ended the box with status {status}")
    stage.box = None
    require(unsound(stage.as_left()))
    shutil.rmtree(stage.path.parent)


def main(
    rounds: Annotated[int, typer.Option(min=1, max=100_000, help="How often the plug is pulled.")] = 200,
    seed: Annotated[int, typer.Option(help="Repeats what chance chose, as far as the machine lets it.")] = -1,
) -> None:
    """Pull the plug of a busy box again and again, and see that nothing acknowledged is lost."""
    seed = seed if seed >= 0 else random.SystemRandom().randrange(10**6)
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    print(f"Seed {seed}.", flush=True)
    began = time.monotonic()
    try:
        played = asyncio.run(torture(rounds, seed, folder))
    except Broken as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(folder)
    acknowledged, confirmed = sum(one.acknowledged for one in played), sum(one.confirmed for one in played)
    print(
        f"After {len(played)} power cuts in {(time.monotonic() - began) / 60:.1f} minutes nothing is lost: "
        f"{acknowledged:,} commands acknowledged, {confirmed:,} bookings confirmed, "
        f"{sum(one.repeated for one in played):,} requests repeated."
    )


if __name__ == "__main__":
    typer.run(main)
