"""
Which snapshot is in force: how a newer one comes in, and what happens while the registry cannot be read.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from gateway.access.snapshot import Snapshot
from gateway.access.token_map import PackedToken, TokenMap, pack_token
from gateway.data_plane.snapshots import Snapshots
from gateway.errors import StorageError
from gateway.registry.feed import Update


class HandClock:
    """
    A clock that stands until it is moved.
    """

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        """
        Any instant.
        """
        return datetime(2026, 11, 24, tzinfo=UTC)

    def monotonic(self) -> float:
        """
        Where the hand stands.
        """
        return self.seconds


class Registry:
    """
    What a registry answers: its version, or an error.
    """

    def __init__(self) -> None:
        self.version = 1
        self.loads = 0
        self.error: Exception | None = None
        self.mishaps: list[Exception] = []
        self.known: list[int] = []
        self.tokens = TokenMap()
        self.removed: list[bytes] = []
        self.added: list[tuple[bytes, PackedToken]] = []

    def read_version(self) -> int:
        """
        See `Snapshots`.
        """
        if self.mishaps:
            raise self.mishaps.pop()
        if self.error is not None:
            raise self.error
        return self.version

    def read(self, known: Snapshot) -> Update:
        """
        See `Snapshots`.
        """
        self.loads += 1
        self.known.append(known.version)
        return Update(
            Snapshot(self.read_version(), self.tokens, {}, {}), self.tokens, list(self.removed), dict(self.added)
        )


class Room:
    """
    A `Snapshots` with what it needs.
    """

    def __init__(self) -> None:
        self.clock = HandClock()
        self.registry = Registry()
        self.changes: list[int] = []
        self.told: asyncio.Event | None = None
        self.snapshots = Snapshots(
            Snapshot(1, {}, {}, {}),
            read_version=self.registry.read_version,
            read=self.registry.read,
            clock=self.clock,
            max_age_seconds=60,
            changed=self.note_change,
        )

    def note_change(self) -> None:
        """
        Note which version has come into force.
        """
        self.changes.append(self.snapshots.current.version)
        if self.told is not None:
            self.told.set()


@pytest.fixture
def room() -> Room:
    """
    Version 1 in force, read just now, sixty seconds its greatest age.
    """
    return Room()


def test_nothing_is_loaded_while_nothing_changes(room: Room) -> None:
    """
    The version alone is read, and that counts as a reading.
    """
    room.clock.seconds += 50

    assert asyncio.run(room.snapshots.refresh())
    assert (0, [], 0) == (room.registry.loads, room.changes, room.snapshots.age_seconds)


def test_a_newer_version_comes_into_force(room: Room) -> None:
    """
    Then, and only then, the change is told.
    """
    room.registry.version = 5

    assert asyncio.run(room.snapshots.refresh(5))
    assert (5, [5]) == (room.snapshots.current.version, room.changes)


def test_tokens_are_applied_in_slices_between_which_calls_are_served(room: Room) -> None:
    """
    What goes is out before the version is in force, what comes is in before it is told; the loop runs in between.
    """
    gone = [b"old %d" % number for number in range(1200)]
    come: list[tuple[bytes, PackedToken]] = [
        (b"new %d" % number, pack_token(f"t{number}", "crm", None)) for number in range(1200)
    ]
    room.registry.tokens.put((digest, pack_token("t", "crm", None)) for digest in gone)
    room.registry.version, room.registry.removed, room.registry.added = 5, gone, come
    seen: list[tuple[int, int, int]] = []

    async def refresh() -> None:
        refreshing = asyncio.create_task(room.snapshots.refresh(5))
        while not refreshing.done():
            held = room.registry.tokens
            seen.append((room.snapshots.current.version, sum(d in held for d in gone), sum(d in held for d, _ in come)))
            await asyncio.sleep(0)

    asyncio.run(refresh())

    assert {digest for digest, _ in come} == set(room.registry.tokens)
    assert [5] == room.changes
    assert len({(old, new) for _, old, new in seen}) > 5  # a call could come between slices
    assert {True} == {old == 0 for version, old, _ in seen if version == 5}
    assert {0} == {new for version, _, new in seen if version == 1}


def test_a_refresh_that_is_cancelled_leaves_no_half_version(room: Room) -> None:
    """
    A version in force has all its tokens, or it would never be read again.
    """
    room.registry.version = 5
    room.registry.added = [(b"new %d" % number, pack_token(f"t{number}", "crm", None)) for number in range(5000)]

    async def cancel_midway() -> None:
        refreshing = asyncio.create_task(room.snapshots.refresh(5))
        while not room.registry.tokens:  # noqa: ASYNC110 - the moment is between two slices, which tell nobody
            await asyncio.sleep(0)
        refreshing.cancel()
        await asyncio.wait({refreshing})

    asyncio.run(cancel_midway())

    assert (5, 5000) == (room.snapshots.current.version, len(room.registry.tokens))


def test_a_restored_registry_comes_into_force_too(room: Room) -> None:
    """
    An older version than ours is a backup's: what it revoked is revoked.
    """
    room.registry.version = 0

    assert asyncio.run(room.snapshots.refresh())
    assert 0 == room.snapshots.current.version


def test_a_version_that_is_in_force_is_acknowledged_at_once(room: Room) -> None:
    """
    Even when the registry cannot be read by now.
    """
    room.registry.error = StorageError("gone")

    assert asyncio.run(room.snapshots.refresh(1))


def test_a_version_that_does_not_come_is_not_acknowledged(room: Room) -> None:
    """
    A verb is told the truth: what it committed is not in force.
    """
    room.registry.version = 2

    assert not asyncio.run(room.snapshots.refresh(3))
    assert 2 == room.snapshots.current.version


def test_many_who_ask_at_once_load_once(room: Room) -> None:
    """
    They take turns, and who comes later finds the version in force.
    """
    room.registry.version = 2

    async def ask() -> list[bool]:
        return await asyncio.gather(*(room.snapshots.refresh(2) for _ in range(20)))

    assert [True] * 20 == asyncio.run(ask())
    assert 1 == room.registry.loads


def test_an_unreadable_registry_leaves_the_last_snapshot_in_force(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    """
    Until it is too old (law 8); told once, and good again by itself.
    """
    room.registry.error = StorageError("gone")
    for _ in range(3):
        room.clock.seconds += 20
        assert not asyncio.run(room.snapshots.refresh(2))

    assert (False, 60.0, False) == (room.snapshots.readable, room.snapshots.age_seconds, room.snapshots.is_stale())
    assert 1 == len(caplog.records)
    room.clock.seconds += 0.1
    assert room.snapshots.is_stale()
    room.registry.error = None
    assert asyncio.run(room.snapshots.refresh())
    assert (True, False) == (room.snapshots.readable, room.snapshots.is_stale())


def test_following_brings_a_change_into_force_within_a_second(caplog: pytest.LogCaptureFixture) -> None:
    """
    Without anybody asking; and half a second later when an error that nobody foresaw came between.
    """
    room = Room()
    room.registry.version = 9
    room.registry.mishaps.append(RuntimeError("unforeseen"))

    async def follow() -> float:
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        room.told = asyncio.Event()
        following = asyncio.create_task(room.snapshots.follow())
        async with asyncio.timeout(5):
            await room.told.wait()
        following.cancel()
        return loop.time() - started_at

    assert asyncio.run(follow()) < 3
    assert ([9], True) == (room.changes, room.snapshots.readable)
    assert ["the registry met an error of ours, the last snapshot stays in force"] == caplog.messages


def test_snapshots_show_version_and_age(room: Room) -> None:
    """
    And nothing of what is in them.
    """
    room.clock.seconds += 2.5

    assert "<Snapshots: <Snapshot 1: 0 callers, 0 tokens> in force, read 2.5 s ago>" == repr(room.snapshots)
