"""
The room for bodies: what it holds, what a caller may hold of it, whose turn it is.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.data_plane.body_room import BodyRoom, Place

SIZE = 16
DOINGS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from("abc"), st.integers(1, 4)),
        st.tuples(st.just("leave"), st.just(""), st.integers(0, 30)),
    ),
    max_size=80,
)


class Told:
    """
    A room, and which places it has given, in that order.
    """

    def __init__(self, size_bytes: int = SIZE) -> None:
        self.room = BodyRoom(size_bytes)
        self.given: list[str] = []

    def ask(self, whose: str, size_bytes: int = 1, *, name: str = "") -> Place:
        """
        Ask for a place; `given` will say so by its name.
        """
        return self.room.ask(whose, size_bytes, lambda: self.given.append(name or whose))


@given(doings=DOINGS)
def test_what_is_held_is_bounded_and_nobody_waits_for_nothing(doings: list[tuple[str, str, int]]) -> None:
    """
    After each doing all that is given fits, no caller has more than half but for his last, and who is alone is let in.
    """
    told, places = Told(), list[Place]()
    for doing, whose, number in doings:
        if doing == "ask":
            places.append(told.ask(whose, number))
        elif places:
            place = places.pop(number % len(places))
            told.room.leave(place)
            told.room.leave(place)
        held = [place for place in places if place.is_given]

        assert told.room.taken_bytes == sum(place.size_bytes for place in held) <= SIZE
        assert told.room.count_waiting() == len(places) - len(held)
        assert held or not places
        for name in "abc":
            assert sum(place.size_bytes for place in held if place.whose == name) <= SIZE // 2 + 2
    for place in places:
        told.room.leave(place)

    assert "<BodyRoom: 0 of 16 bytes taken, 0 wait>" == repr(told.room)


@given(doings=DOINGS)
def test_the_places_of_one_caller_are_given_in_their_order(doings: list[tuple[str, str, int]]) -> None:
    """
    However large each is, and whoever leaves.
    """
    told, places = Told(), list[Place]()
    for doing, whose, number in doings:
        if doing == "ask":
            places.append(told.ask(whose, number))
        elif places:
            told.room.leave(places.pop(number % len(places)))
        for name in "abc":
            own = [place.is_given for place in places if place.whose == name]
            assert sorted(own, reverse=True) == own


def test_one_caller_leaves_half_of_the_room_and_two_a_third() -> None:
    """
    So that whoever holds nothing finds a place at once, however many the others ask for.
    """
    told = Told(12)
    for _ in range(20):
        told.ask("one")

    assert 6 == told.room.taken_bytes
    assert told.ask("two").is_given

    told = Told(12)
    for _ in range(20):
        told.ask("one")
        told.ask("two")

    assert 8 == told.room.taken_bytes
    assert told.ask("three", 4).is_given


def test_callers_take_turns() -> None:
    """
    Who asked once comes second at the latest, not behind all that another had asked before.
    """
    told = Told(4)
    first = told.ask("full", 4)
    for _ in range(3):
        told.ask("many")
    told.ask("few")
    told.given.clear()

    told.room.leave(first)

    assert ["many", "few"] == told.given[:2]


def test_a_large_body_is_not_passed_by_small_ones_for_ever() -> None:
    """
    Who holds nothing and does not fit is next; who holds something and does not fit is passed.
    """
    told = Told(8)
    held = [told.ask("one", 2), told.ask("two", 2), told.ask("three", 2)]
    told.ask("one", 4)
    told.ask("four", 2, name="passes")
    told.ask("five", 3, name="is next")
    told.ask("six", 1, name="is behind")
    assert ["one", "two", "three", "passes"] == told.given

    told.room.leave(held[1])
    assert "is next" not in told.given
    assert "is behind" not in told.given

    told.room.leave(held[2])
    assert ["is next", "is behind"] == told.given[4:]


def test_what_is_here_already_is_counted_and_does_not_wait() -> None:
    """
    Beyond the room's size, too; nobody else is let in until it is back within it.
    """
    told = Told(4)
    places = [told.room.take("one", 3), told.room.take("one", 3)]

    assert (6, True) == (told.room.taken_bytes, places[1].is_given)
    assert not told.ask("two").is_given

    told.room.leave(places[0])
    assert ["two"] == told.given


def test_a_body_that_is_larger_than_the_room_is_let_in_alone() -> None:
    """
    It would wait for ever else.
    """
    told = Told(2)

    assert told.ask("one", 3).is_given
    assert not told.ask("two", 1).is_given


def test_who_waits_no_longer_makes_way_for_who_is_behind() -> None:
    """
    Leaving is for those who wait, too.
    """
    told = Told(8)
    for whose in ("one", "two", "three"):
        told.ask(whose, 2)
    large = told.ask("four", 4)
    told.ask("five", 2)
    assert "five" not in told.given

    told.room.leave(large)

    assert "five" in told.given
    assert not large.is_given


def test_a_room_that_grows_lets_in_and_one_that_shrinks_takes_nothing_away() -> None:
    """
    As a reload may tell it.
    """
    told = Told(2)
    first = told.ask("one", 2)
    second = told.ask("two", 2)

    told.room.resize(4)
    assert (True, True) == (first.is_given, second.is_given)

    told.room.resize(1)
    assert (True, True, 4) == (first.is_given, second.is_given, told.room.taken_bytes)
    assert not told.ask("three").is_given
    assert "<Place of 2 bytes for two>" == repr(second)
