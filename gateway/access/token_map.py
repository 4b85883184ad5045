"""
The token map: digests to tokens, a hundred thousand of them, changed in place between calls.

Holds plain tuples and makes a `Token` when one is looked up: a tuple of text and an instant is nothing that the garbage
collector follows, a hundred thousand objects are, and following them stops every call for a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias, TypeVar, overload

from gateway.access.token import Token

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

__all__ = ["TokenEntry", "TokenMap"]

T = TypeVar("T")

TokenEntry: TypeAlias = "tuple[str, str, datetime | None]"
"""A token's id, its caller's name and when it expires: the fields of a `Token`."""


class TokenMap(Mapping[bytes, Token]):
    """
    Tokens by the SHA-256 of their text. Reading is safe from any thread while no other changes it.
    """

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[bytes, TokenEntry] = {}

    def __getitem__(self, digest: bytes) -> Token:
        return Token(*self._entries[digest])

    @overload
    def get(self, digest: bytes, default: None = None, /) -> Token | None: ...

    @overload
    def get(self, digest: bytes, default: T, /) -> Token | T: ...

    def get(self, digest: bytes, default: T | None = None, /) -> Token | T | None:
        """
        The token of a digest. The one look-up of every call, so it is not left to `Mapping`, which catches a KeyError.
        """
        entry = self._entries.get(digest)
        return Token(*entry) if entry is not None else default

    def __contains__(self, digest: object) -> bool:
        return digest in self._entries

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def holds(self, digest: bytes, entry: TokenEntry) -> bool:
        """
        Whether the map has exactly this.
        """
        return self._entries.get(digest) == entry

    def iterate_slices(self, size: int) -> Iterator[list[tuple[bytes, TokenEntry]]]:
        """
        Everything, in slices. The map must not change before the last one.
        """
        items = iter(self._entries.items())
        while piece := list(islice(items, size)):
            yield piece

    def put(self, entries: Iterable[tuple[bytes, TokenEntry]]) -> None:
        """
        Add tokens, or put them in the place of those of the same text.
        """
        self._entries.update(entries)

    def take_out(self, digests: Iterable[bytes]) -> None:
        """
        Remove tokens; one that is not there is no error.
        """
        for digest in digests:
            self._entries.pop(digest, None)

    def __repr__(self) -> str:
        return f"<TokenMap: {len(self._entries)} tokens>"
