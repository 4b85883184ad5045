"""
The token map: digests to tokens, a hundred thousand of them, changed in place between calls.

Holds each as one text and makes a `Token` of it when it is looked up. The garbage collector does not follow a
dictionary of bytes and texts, whatever its size; to go through a hundred thousand objects, or tuples, takes it ten
milliseconds and more, in which every call stands still.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, NewType, TypeVar, overload

from gateway.access.token import Token

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["PackedToken", "TokenMap", "find_caller_name", "pack_token"]

T = TypeVar("T")

PackedToken = NewType("PackedToken", str)
"""A token as a text: its id, its caller's name, and when it expires or nothing, with spaces between."""


def pack_token(token_id: str, caller_name: str, expires_at: str | None) -> PackedToken:
    """
    A token for the map; neither its id nor its caller's name has a space in it.

    Args:
        expires_at: As `render_instant` writes it.

    Raises:
        ValueError: `expires_at` is no instant: it must be told now, and not by a call that fails.
    """
    if expires_at is None:
        return PackedToken(f"{token_id} {caller_name} ")
    datetime.fromisoformat(expires_at)
    return PackedToken(f"{token_id} {caller_name} {expires_at}")


def find_caller_name(packed: PackedToken) -> str:
    """
    Whose token it is.
    """
    return packed.split(" ", 2)[1]


class TokenMap(Mapping[bytes, Token]):
    """
    Tokens by the SHA-256 of their text. Reading is safe from any thread while no other changes it.
    """

    __slots__ = ("_packed",)

    def __init__(self) -> None:
        self._packed: dict[bytes, PackedToken] = {}

    def __getitem__(self, digest: bytes) -> Token:
        return _unpack(self._packed[digest])

    @overload
    def get(self, digest: bytes, default: None = None, /) -> Token | None: ...

    @overload
    def get(self, digest: bytes, default: T, /) -> Token | T: ...

    def get(self, digest: bytes, default: T | None = None, /) -> Token | T | None:
        """
        The token of a digest. The one look-up of every call, so it is not left to `Mapping`, which catches a KeyError.
        """
        packed = self._packed.get(digest)
        return _unpack(packed) if packed is not None else default

    def __contains__(self, digest: object) -> bool:
        return digest in self._packed

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def holds(self, digest: bytes, packed: PackedToken) -> bool:
        """
        Whether the map has exactly this.
        """
        return self._packed.get(digest) == packed

    def iterate_slices(self, size: int) -> Iterator[list[tuple[bytes, PackedToken]]]:
        """
        Everything, in slices. The map must not change before the last one.
        """
        items = iter(self._packed.items())
        while piece := list(islice(items, size)):
            yield piece

    def iterate_expiries(self, size: int) -> Iterator[list[str]]:
        """
        When each token expires that is there now, as `render_instant` writes it, or nothing; in slices.

        The map may change meanwhile, because what is gone through is a list of its own.
        """
        packed = list(self._packed.values())
        for first in range(0, len(packed), size):
            yield [each.rpartition(" ")[2] for each in packed[first : first + size]]

    def put(self, tokens: Iterable[tuple[bytes, PackedToken]]) -> None:
        """
        Add tokens, or put them in the place of those of the same text.
        """
        self._packed.update(tokens)

    def take_out(self, digests: Iterable[bytes]) -> None:
        """
        Remove tokens; one that is not there is no error.
        """
        for digest in digests:
            self._packed.pop(digest, None)

    def __repr__(self) -> str:
        return f"<TokenMap: {len(self._packed)} tokens>"


def _unpack(packed: PackedToken) -> Token:
    token_id, caller_name, expires_at = packed.split(" ")
    return Token(token_id, caller_name, datetime.fromisoformat(expires_at) if expires_at else None)
