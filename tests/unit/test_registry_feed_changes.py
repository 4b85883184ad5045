"""
The feed that reads only what changed, held against one that reads everything.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from gateway.access.credential import Credential, Kind
from gateway.access.limits import Limits
from gateway.access.upstream import Upstream
from gateway.errors import StorageError
from gateway.registry.feed import Feed, load_snapshot
from gateway.registry.rows import CallerRow, TokenRow
from gateway.registry.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gateway.access.snapshot import Snapshot
    from gateway.registry.transaction import Transaction

NOW = datetime(2026, 5, 3, 9, 15, tzinfo=UTC)
UPSTREAM = Upstream("noojee", "noojee.example.com", 8443, "/pbx", ca_pem="PEM")
NAMES = ("crm", "web", "wallboard")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """
    A registry with an upstream, two credentials and a caller `crm` with the tokens `a` and `b`.
    """
    with Store.create(tmp_path / "gateway.db") as store:
        with store.transaction() as registry:
            registry.add_upstream(UPSTREAM)
            registry.add_credential(Credential("c1", "everything", UPSTREAM, Kind.GLOBAL, None, b"sealed 1"), b"mark 1")
            registry.add_credential(Credential("c2", "alice", UPSTREAM, Kind.USER, "alice", b"sealed 2"), b"mark 2")
            registry.add_caller(caller("crm"))
            registry.add_token(token("a"), b"a")
            registry.add_token(token("b"), b"b")
        yield store


def caller(name: str, *, is_enabled: bool = True, burst: int | None = None) -> CallerRow:
    """
    A caller's row.
    """
    return CallerRow(name, ("10.0.0.0/8",), query_token_allowed=True, is_enabled=is_enabled, burst=burst)


def token(token_id: str, caller_name: str = "crm", expires_at: datetime | None = None) -> TokenRow:
    """
    A token's row.
    """
    return TokenRow(token_id, caller_name, NOW, expires_at, None)


class Follower:
    """
    What a worker holds.
    """

    def __init__(self, store: Store) -> None:
        self.feed = Feed(store, pause_seconds=0.0)
        self.current: Snapshot = self.feed.load()

    def follow(self) -> str:
        """
        Bring the newest version into force; what had to be done for it.
        """
        update = self.feed.read(self.current)
        told = repr(update)
        update.finish()
        self.current = update.snapshot
        return told

    def shows(self) -> dict[str, object]:
        """
        Everything that is in force.
        """
        return describe(self.current)


def describe(snapshot: Snapshot) -> dict[str, object]:
    """
    All parts of a snapshot, comparable.
    """
    return {
        "version": snapshot.version,
        "tokens": dict(snapshot.tokens),
        "callers": dict(snapshot.callers),
        "credentials": dict(snapshot.credentials),
        "fingerprints": dict(snapshot.fingerprints),
    }


def commit(store: Store, change: Callable[[Transaction], object]) -> None:
    """
    One change, one version.
    """
    with store.transaction() as registry:
        change(registry)


def put_back(store: Store, backup: Path) -> None:
    """
    Another file under the registry's name, as whoever restores a backup does it.
    """
    for log in ("-wal", "-shm"):
        store.path.with_name(store.path.name + log).unlink(missing_ok=True)
    shutil.copyfile(backup, backup.with_suffix(".copy"))
    backup.with_suffix(".copy").rename(store.path)


def back_up(store: Store, target: Path) -> None:
    """
    A consistent copy.
    """
    with sqlite3.connect(store.path) as source, sqlite3.connect(target) as copy:
        source.backup(copy)
    source.close()
    copy.close()


class Dice:
    """
    Random verbs, each a change that the administration could have made.
    """

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self.chance = random.Random(seed)  # noqa: S311 - a test's dice
        self.number = 0

    def throw(self) -> None:
        """
        One of the verbs.
        """
        self.chance.choice(
            (
                self.issue,
                self.issue,
                self.issue,
                self.revoke,
                self.expire,
                self.change_caller,
                self.remove,
                self.grant,
                self.ungrant,
                self.lose_key,
            )
        )()

    def new_id(self, kind: str) -> str:
        """
        An id that was never used.
        """
        self.number += 1
        return f"{kind}{self.number}"

    def issue(self) -> None:
        """
        A token, of a caller that is made first where it is missing.
        """
        name, token_id = self.chance.choice(NAMES), self.new_id("t")
        expires_at = self.chance.choice((None, NOW, NOW + timedelta(days=1)))

        def write(registry: Transaction) -> None:
            if registry.find_caller(name) is None:
                registry.add_caller(caller(name))
            registry.add_token(token(token_id, name, expires_at), token_id.encode())

        commit(self.store, write)

    def revoke(self) -> None:
        """
        Some token, perhaps a second time.
        """
        with self.store.reading() as registry:
            tokens = registry.find_tokens()
        if tokens:
            token_id = self.chance.choice(tokens).token_id
            commit(self.store, lambda registry: registry.revoke_token(token_id, NOW))

    def expire(self) -> None:
        """
        Some token ends at another time.
        """
        with self.store.reading() as registry:
            tokens = registry.find_tokens()
        if tokens:
            token_id, days = self.chance.choice(tokens).token_id, self.chance.randint(-1, 3)
            commit(
                self.store, lambda registry: registry.expire_token(token_id, NOW + timedelta(days=days), lifetime=None)
            )

    def change_caller(self) -> None:
        """
        Another limit, disabled or enabled.
        """
        name, burst, is_enabled = self.chance.choice(NAMES), self.chance.randint(1, 9), self.chance.random() < 0.6

        def write(registry: Transaction) -> None:
            changed = caller(name, burst=burst, is_enabled=is_enabled)
            (registry.set_caller if registry.find_caller(name) else registry.add_caller)(changed)

        commit(self.store, write)

    def remove(self) -> None:
        """
        A caller goes, and often comes again before anybody looks.
        """
        name = self.chance.choice(NAMES)
        commit(self.store, lambda registry: registry.remove_caller(name))
        if self.chance.random() < 0.5:
            commit(self.store, lambda registry: registry.add_caller(caller(name)))

    def grant(self) -> None:
        """
        A grant for a caller.
        """
        name, grant_id, credential_id = self.chance.choice(NAMES), self.new_id("g"), self.chance.choice(("c1", "c2"))

        def write(registry: Transaction) -> None:
            if registry.find_caller(name) is not None:
                registry.add_grant(grant_id, name, credential_id, ["CallManagementAPI/*"])

        commit(self.store, write)

    def ungrant(self) -> None:
        """
        Some grant.
        """
        with self.store.reading() as registry:
            grants = registry.find_grants()
        if grants:
            grant_id = self.chance.choice(grants).grant_id
            commit(self.store, lambda registry: registry.remove_grant(grant_id))

    def lose_key(self) -> None:
        """
        A credential loses its key or gets one.
        """
        sealed = self.chance.choice((None, b"sealed %d" % self.chance.randint(1, 9)))
        mark = b"mark" if sealed else None
        commit(self.store, lambda registry: registry.set_key("c2", sealed, mark))


@pytest.mark.parametrize("seed", range(12))
def test_what_is_read_piece_by_piece_is_what_is_read_whole(store: Store, tmp_path: Path, seed: int) -> None:
    """
    After any verbs, however many between two readings, and after a backup is put back.
    """
    dice = Dice(store, seed)
    follower = Follower(store)
    backup = tmp_path / "backup.db"
    back_up(store, backup)
    for _ in range(120):
        dice.throw()
        if dice.chance.random() < 0.03:
            back_up(store, backup)
        elif dice.chance.random() < 0.03:
            put_back(store, backup)
        if dice.chance.random() < 0.4:
            follower.follow()
            assert describe(load_snapshot(store)) == follower.shows()
    follower.follow()

    assert describe(load_snapshot(store)) == follower.shows()


def test_one_changed_token_is_all_that_is_touched(store: Store) -> None:
    """
    Issued and revoked: one token each, whatever else there is. Nothing changed: nothing.
    """
    follower = Follower(store)
    commit(store, lambda registry: registry.add_token(token("c"), b"c"))
    issued = follower.follow()
    commit(store, lambda registry: registry.revoke_token("a", NOW))
    revoked = follower.follow()

    assert "<Update to 3: 0 tokens to remove, 1 to add>" == issued
    assert "<Update to 4: 1 tokens to remove, 0 to add>" == revoked
    assert "<Update to 4: 0 tokens to remove, 0 to add>" == follower.follow()
    assert {b"b", b"c"} == set(follower.current.tokens)


def test_tokens_of_a_caller_that_went_are_not_those_of_its_namesake(store: Store) -> None:
    """
    Removed and added again before anybody looked: the old tokens are gone, though the name is there.
    """
    follower = Follower(store)
    commit(store, lambda registry: registry.remove_caller("crm"))
    commit(store, lambda registry: registry.add_caller(caller("crm", burst=7)))
    commit(store, lambda registry: registry.add_token(token("new"), b"new"))
    follower.follow()

    assert {b"new"} == set(follower.current.tokens)
    assert Limits.resolve(None, 7, None) == follower.current.callers["crm"].limits


def test_a_registry_put_back_is_read_whole_even_at_a_newer_version(store: Store, tmp_path: Path) -> None:
    """
    What the file of that name holds is in force: a version counts nothing across two files.
    """
    back_up(store, tmp_path / "backup.db")
    commit(store, lambda registry: registry.add_token(token("c"), b"c"))
    follower = Follower(store)
    put_back(store, tmp_path / "backup.db")
    assert -1 == follower.feed.version()
    for name in ("x", "y"):
        commit(store, lambda registry, name=name: registry.add_token(token(name), name.encode()))  # type: ignore[misc]
    follower.follow()

    assert store.version() == follower.feed.version() == 4
    assert {b"a", b"b", b"x", b"y"} == set(follower.current.tokens)


def test_a_registry_that_is_gone_is_an_error_and_changes_nothing(store: Store) -> None:
    """
    The last snapshot stays as it is, and the next reading goes on from it.
    """
    follower = Follower(store)
    before = follower.shows()
    moved = store.path.with_name("moved")
    store.path.rename(moved)
    with pytest.raises(StorageError, match="No such file"):
        follower.follow()
    with pytest.raises(StorageError):
        follower.feed.version()
    assert before == follower.shows()

    moved.rename(store.path)
    commit(store, lambda registry: registry.revoke_token("a", NOW))
    follower.follow()
    assert {b"b"} == set(follower.current.tokens)


def test_a_file_that_is_replaced_while_it_is_read_is_not_believed(store: Store, tmp_path: Path) -> None:
    """
    Nobody can say of which file what was read is; the next reading does better.
    """
    back_up(store, tmp_path / "backup.db")
    follower = Follower(store)
    commit(store, lambda registry: registry.add_token(token("c"), b"c"))
    reading = store.reading

    def replace_then_read() -> object:
        store.reading = reading  # type: ignore[method-assign]
        found = reading()
        put_back(store, tmp_path / "backup.db")
        return found

    store.reading = replace_then_read  # type: ignore[assignment, method-assign]
    with pytest.raises(StorageError, match="replaced while it was read"):
        follower.follow()
    follower.follow()

    assert describe(load_snapshot(store)) == follower.shows()
    assert {b"a", b"b"} == set(follower.current.tokens)
