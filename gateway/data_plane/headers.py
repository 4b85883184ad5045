"""
The headers of one request: all in their order, and by name, because every call asks for some of them by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Headers"]


class Headers:
    """
    Grows while a head is read; does not change afterwards.

    Attributes:
        pairs: Name and value in order; names in lower case, values without the white space around them.
    """

    __slots__ = ("_by_name", "pairs")

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.pairs: list[tuple[bytes, bytes]] = []
        self._by_name: dict[bytes, list[bytes]] = {}
        for name, value in pairs:
            self.add(name, value)

    def add(self, name: bytes, value: bytes) -> None:
        """
        Put one behind the others.
        """
        self.pairs.append((name, value))
        values = self._by_name.get(name)
        if values is None:
            self._by_name[name] = [value]
        else:
            values.append(value)

    def find(self, name: bytes) -> Sequence[bytes]:
        """
        The values under a name, in their order; empty where there is none.
        """
        return self._by_name.get(name, ())

    def __contains__(self, name: bytes) -> bool:
        return name in self._by_name

    def __repr__(self) -> str:
        return f"<Headers: {len(self.pairs)}>"  # a value may be a token
