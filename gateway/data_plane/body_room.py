"""
The room for callers' bodies: how many bytes of them a worker holds at once, and whose turn it is.

A body that is larger than what may wait on any connection takes a place of its size before more of it is read, and
keeps it until its call is over. Nobody is refused here: who finds no place waits, unread.

No caller may hold more than it leaves free: one alone half of the room, two a third each, and so on, so that whoever
holds nothing yet finds a place at once, whatever one other holds. Callers take turns, and the bodies of one caller come
in their order. Values only: no sockets, no clock. Safe from the worker's event loop alone.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BodyRoom", "Place"]


class Place:
    """
    What one body takes of the room, or waits for.

    Attributes:
        whose: The caller's name.
        size_bytes: How much it is.
        is_given: Whether it is taken; it waits, or was given back, otherwise.
    """

    __slots__ = ("is_given", "size_bytes", "tell", "whose")

    def __init__(self, whose: str, size_bytes: int, tell: Callable[[], None]) -> None:
        self.whose = whose
        self.size_bytes = size_bytes
        self.tell = tell
        self.is_given = False

    def __repr__(self) -> str:
        return f"<Place of {self.size_bytes} bytes for {self.whose}{'' if self.is_given else ', not given'}>"


class BodyRoom:
    """
    The room of one worker.

    Args:
        size_bytes: How much it holds. One body that is larger is still let in when there is no other.
    """

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._taken_bytes = 0
        self._taken_by: Counter[str] = Counter()
        # By caller, in the order of their turns; none is empty. Dictionaries, because most leave from the middle.
        self._lines: OrderedDict[str, OrderedDict[Place, None]] = OrderedDict()

    def ask(self, whose: str, size_bytes: int, tell: Callable[[], None]) -> Place:
        """
        A place that is given now, or when it is this caller's turn; to be handed to `leave` in any case.

        Args:
            whose: The caller's name.
            size_bytes: How much.
            tell: Called once it is given, which may be before this returns.
        """
        place = Place(whose, size_bytes, tell)
        self._lines.setdefault(whose, OrderedDict())[place] = None
        self._give()
        return place

    def take(self, whose: str, size_bytes: int) -> Place:
        """
        A place for what is in memory already, at once and beyond the room's size if need be.

        To let it wait would free nothing.
        """
        place = Place(whose, size_bytes, _tell_nobody)
        self._hold(place)
        return place

    def leave(self, place: Place) -> None:
        """
        Give a place back, or wait for it no longer. A second time does nothing.
        """
        if place.is_given:
            place.is_given = False
            self._count(place.whose, -place.size_bytes)
        elif place in self._lines.get(place.whose, ()):
            self._take_out(place)
        self._give()

    def resize(self, size_bytes: int) -> None:
        """
        Hold more or less from now on. What was given stays given.
        """
        self._size_bytes = size_bytes
        self._give()

    @property
    def taken_bytes(self) -> int:
        """
        How much is taken.
        """
        return self._taken_bytes

    def count_waiting(self) -> int:
        """
        How many wait.
        """
        return sum(len(line) for line in self._lines.values())

    def __repr__(self) -> str:
        return f"<BodyRoom: {self._taken_bytes} of {self._size_bytes} bytes taken, {self.count_waiting()} wait>"

    def _give(self) -> None:
        while (place := self._find_next()) is not None:
            self._take_out(place)
            if place.whose in self._lines:
                self._lines.move_to_end(place.whose)
            self._hold(place)
            place.tell()

    def _find_next(self) -> Place | None:
        """
        Whose turn it is, of those who fit.
        """
        for whose, line in self._lines.items():
            place = next(iter(line))
            if self._fits(place):
                return place
            if whose not in self._taken_by:
                # Smaller ones behind him could go on for ever. Who holds something is passed over instead: he has the
                # same right as soon as he holds nothing.
                return None
        return None

    def _fits(self, place: Place) -> bool:
        free_bytes = self._size_bytes - self._taken_bytes
        return not self._taken_bytes or self._taken_by[place.whose] + place.size_bytes <= free_bytes

    def _take_out(self, place: Place) -> None:
        line = self._lines[place.whose]
        del line[place]
        if not line:
            del self._lines[place.whose]

    def _hold(self, place: Place) -> None:
        place.is_given = True
        self._count(place.whose, place.size_bytes)

    def _count(self, whose: str, size_bytes: int) -> None:
        self._taken_bytes += size_bytes
        self._taken_by[whose] += size_bytes
        if not self._taken_by[whose]:
            del self._taken_by[whose]


def _tell_nobody() -> None:
    pass
