"""
The feed: the registry as a snapshot, for the data plane and for whatever decides like it.

`load_snapshot` reads it whole, as one value. A `Feed` reads it again and again: tokens, of which there may be a hundred
thousand, stay in one map that is changed in place by what has changed since; callers, grants and credentials, which are
few and hang together, are read anew each time. Whatever the feed cannot explain, it reads whole: a registry of an older
version than ours, or another file under its name, is a backup that was put back.
"""

from __future__ import annotations

import contextlib
import time
from ipaddress import ip_network
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from gateway.access.caller import Caller
from gateway.access.grant import Grant
from gateway.access.limits import Limits
from gateway.access.rules import parse_rule
from gateway.access.snapshot import Snapshot
from gateway.access.token_map import TokenMap, find_caller_name, pack_token
from gateway.durable import describe
from gateway.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gateway.access.credential import Credential
    from gateway.access.token_map import PackedToken
    from gateway.registry.reading import Reading, TokenState
    from gateway.registry.store import Store

__all__ = ["Feed", "Update", "load_snapshot"]

T = TypeVar("T")

_SLICE = 250
"""Tokens between two pauses: about a millisecond's work, in the thread that reads and on the loop that applies."""

_SCAN_SLICE = 5000
"""The same for tokens that are only looked through."""

_ROWS_SLICE = 100
"""The same for callers and grants."""

_PAUSE_SECONDS = 0.0005
"""
How long the reading thread lets others run. Python's own switch comes after 5 ms only, and each time the event loop
wakes it would wait as long; a sleep of 0 gives the interpreter to whoever is fastest, mostly the sleeper itself.
"""

_NOBODYS_VERSION = -1


def load_snapshot(store: Store, *, with_tokens: bool = True) -> Snapshot:
    """
    The registry's present version.

    Blocks while it reads, some tenths of a second for 100,000 tokens: call it in a thread. Safe for use by several.

    Args:
        with_tokens: False for what decides by a caller's name; then no token is known.

    Raises:
        StorageError: It cannot be read, or holds what no release of ours wrote.
    """
    return Feed(store, pause_seconds=0.0).load(with_tokens=with_tokens)


class Feed:
    """
    One reader's feed. `version` and `read` are for threads, one call at a time; what they give is applied elsewhere.

    Args:
        store: The registry.
        pause_seconds: How long to let others run after each slice of tokens.
    """

    def __init__(self, store: Store, *, pause_seconds: float = _PAUSE_SECONDS) -> None:
        self._store = store
        self._pause_seconds = pause_seconds
        self._tokens = TokenMap()
        self._file: tuple[int, int] | None = None

    @property
    def tokens(self) -> TokenMap:
        """
        The one map that all its snapshots share.
        """
        return self._tokens

    def load(self, *, with_tokens: bool = True) -> Snapshot:
        """
        The first snapshot, for a start, once: nobody decides on the feed's map yet, so it is filled without pauses.

        Args:
            with_tokens: False for what never looks a token up.

        Raises:
            StorageError: As `read`.
        """
        with self._one_file() as file, self._reading() as registry:
            for rows in registry.iterate_usable_tokens(_SLICE) if with_tokens else ():
                self._tokens.put((row[0], _pack(row)) for row in rows)
            snapshot = self._read_snapshot(registry)
        self._file = file
        return snapshot

    def version(self) -> int:
        """
        The registry's version, by one short read; -1, which is nobody's, when its file is not the one that was read.

        Raises:
            StorageError: It cannot be read.
        """
        version = self._store.version()
        return version if self._file == self._find_file() else _NOBODYS_VERSION

    def read(self, known: Snapshot) -> Update:
        """
        What must change so that the present version is in force instead of `known`.

        Args:
            known: The snapshot that was in force last, with its update finished.

        Raises:
            StorageError: It cannot be read, holds what no release of ours wrote, or was replaced meanwhile.
        """
        with self._one_file() as file, self._reading() as registry:
            is_whole = file != self._file or registry.version < known.version
            update = self._read(registry, None if is_whole else known)
        self._file = file
        return update

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Reading]:
        try:
            with self._store.reading() as registry:
                yield registry
        except (KeyError, TypeError, ValueError) as error:
            # Without the text: it may quote a row.
            raise StorageError(f"The registry {self._store.path} is damaged ({type(error).__name__}).") from None

    def _read(self, registry: Reading, known: Snapshot | None) -> Update:
        """
        All changes since a version, or since nobody knows which.
        """
        snapshot = self._read_snapshot(registry)
        changes: Iterator[tuple[list[TokenState], bool]]
        suspects: set[str] | None = None
        if known is None:
            changes = ((rows, True) for rows in registry.iterate_usable_tokens(_SLICE))
        else:
            changes = registry.iterate_changed_tokens(known.version, _SLICE)
            changed = registry.find_changed_callers(known.version)
            suspects = {name for name in known.callers if name in changed or name not in snapshot.callers}
        removed: list[bytes] = []
        added: dict[bytes, PackedToken] = {}
        usable: dict[bytes, None] = {}  # no set, which the garbage collector would go through (see `token_map`)
        for rows, are_usable in self._pausing(changes):
            if not are_usable:
                removed += [row[0] for row in rows]
                continue
            for row in rows:
                digest, packed = row[0], _pack(row)
                usable[digest] = None
                if not self._tokens.holds(digest, packed):
                    added[digest] = packed
        removed += self._find_left(suspects, usable)
        return Update(snapshot, self._tokens, removed, added)

    def _read_snapshot(self, registry: Reading) -> Snapshot:
        credentials = registry.find_credentials()
        return Snapshot(
            version=registry.version,
            tokens=self._tokens,
            callers=MappingProxyType(self._read_callers(registry, credentials)),
            credentials=MappingProxyType(credentials),
            fingerprints=MappingProxyType(registry.find_fingerprints()),
        )

    def _read_callers(self, registry: Reading, credentials: Mapping[str, Credential]) -> dict[str, Caller]:
        grants: dict[str, list[Grant]] = {}
        for rows in self._pausing(registry.iterate_grants(_ROWS_SLICE)):
            for row in rows:
                rules = tuple(parse_rule(parameter, text) for parameter, text in row.rules)
                credential = credentials[row.credential_name]
                grant = Grant(row.grant_id, credential, row.operations, rules, row.allow_unique_ids)
                grants.setdefault(row.caller_name, []).append(grant)
        return {
            row.name: Caller(
                name=row.name,
                networks=tuple(ip_network(network) for network in row.networks),
                query_token_allowed=row.query_token_allowed,
                grants=tuple(grants.get(row.name, ())),
                limits=Limits.resolve(row.rate_per_second, row.burst, row.concurrency),
            )
            for rows in self._pausing(registry.iterate_callers(_ROWS_SLICE))
            for row in rows
            if row.is_enabled
        }

    def _find_left(self, suspects: set[str] | None, usable: Mapping[bytes, None]) -> list[bytes]:
        """
        Tokens we hold that are no longer usable, of these callers; None for all, when all have been read.

        Rows that were removed leave no trace, but they go with their caller only: one that has vanished, or one that
        was added again and so has changed. All usable tokens of changed callers have just been read.
        """
        if suspects is not None and not suspects:
            return []
        return [
            digest
            for tokens in self._pausing(self._tokens.iterate_slices(_SCAN_SLICE))
            for digest, packed in tokens
            if digest not in usable and (suspects is None or find_caller_name(packed) in suspects)
        ]

    def _pausing(self, slices: Iterable[T]) -> Iterator[T]:
        for each in slices:
            yield each
            if self._pause_seconds:
                time.sleep(self._pause_seconds)

    @contextlib.contextmanager
    def _one_file(self) -> Iterator[tuple[int, int]]:
        """
        Device and inode of the registry's file, which must be the same at the block's end.
        """
        file = self._find_file()
        yield file
        if file != self._find_file():
            raise StorageError(f"The registry {self._store.path} was replaced while it was read.")

    def _find_file(self) -> tuple[int, int]:
        try:
            named = self._store.path.stat()
        except OSError as error:
            raise StorageError(f"The registry {self._store.path} cannot be read: {describe(error)}.") from error
        return named.st_dev, named.st_ino

    def __repr__(self) -> str:
        return f"<Feed of {self._store.path}: {len(self._tokens)} tokens>"


class Update:
    """
    How one snapshot comes in the place of another, on the thread that decides: `remove`, then `snapshot`, then `add`.

    In that order nobody is let in who must not be: while slices are applied, calls in between may find a token missing
    that will be there in a moment, and never one that has gone, nor a new token with an old caller's grants. `remove`
    and `add` yield after each slice, so that calls can be served.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        tokens: TokenMap,
        removed: list[bytes],
        added: dict[bytes, PackedToken],
    ) -> None:
        self.snapshot = snapshot
        self._tokens = tokens
        self._removed = removed
        self._added = added

    def remove(self) -> Iterator[None]:
        """
        Take tokens out of the map that must not be found any more.
        """
        while self._removed:
            self._tokens.take_out(self._removed[-_SLICE:])
            del self._removed[-_SLICE:]
            yield

    def add(self) -> Iterator[None]:
        """
        Put new and changed tokens into the map.
        """
        while self._added:
            self._tokens.put(self._added.popitem() for _ in range(min(_SLICE, len(self._added))))
            yield

    def finish(self) -> None:
        """
        Do what is left of both at once.
        """
        for _ in self.remove():
            pass
        for _ in self.add():
            pass

    def __repr__(self) -> str:
        return f"<Update to {self.snapshot.version}: {len(self._removed)} tokens to remove, {len(self._added)} to add>"


def _pack(row: TokenState) -> PackedToken:
    _, token_id, caller_name, expires_at = row
    return pack_token(token_id, caller_name, expires_at)
