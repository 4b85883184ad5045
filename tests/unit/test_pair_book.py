"""
How long a hash pair is used, at every edge.
"""

from __future__ import annotations

import dataclasses

import pytest

from gateway.access.credential import Credential, Kind
from gateway.access.upstream import AuthMethod, Upstream
from gateway.noojee.hash_pair import HashPair
from gateway.secret import Secret
from gateway.upstream.pair_book import HeldPair, PairBook

KEY = "00000000-0000-0000-0000-000000000000"
NOOJEE = Upstream("noojee", "noojee.example.com", 443, auth=AuthMethod.HASH)
CREDENTIAL = Credential("c1", "everything", NOOJEE, Kind.GLOBAL, None, b"sealed")
ASKED_AT = 1000.0
HOUR = 3600.0
A_BIT = 0.001


def hold(asked_at: float = ASKED_AT) -> HeldPair:
    """
    A pair whose `Time` was asked for at that second.
    """
    return HeldPair(HashPair(Secret(KEY), int(asked_at * 1000)), asked_at)


def keep_book(*, accepted: bool = False, lifetime_seconds: float = HOUR) -> tuple[PairBook, HeldPair]:
    """
    A book with one pair.
    """
    book, held = PairBook(lifetime_seconds), hold()
    book.add(CREDENTIAL, held)
    if accepted:
        book.accept(CREDENTIAL, held)
    return book, held


@pytest.mark.parametrize(
    ("accepted", "lifetime_seconds", "given_for", "good_for"),
    [
        (False, HOUR, 9.0, 10.0),
        (True, HOUR, 3540.0, HOUR),
        (False, 10.0, 9.0, 10.0),
        (True, 10.0, 9.0, 10.0),
        (False, 300.0, 9.0, 10.0),
        (True, 300.0, 270.0, 300.0),
        (True, 600.0, 540.0, 600.0),
        (True, 1800.0, 1740.0, 1800.0),
        (True, 2 * HOUR, 3540.0, HOUR),
    ],
)
def test_a_pair_is_given_until_a_margin_before_its_end(
    *, accepted: bool, lifetime_seconds: float, given_for: float, good_for: float
) -> None:
    """
    A tenth, and a minute at most, is left for the call to get there; its end is the age that Noojee documents.
    """
    book, held = keep_book(accepted=accepted, lifetime_seconds=lifetime_seconds)

    assert held is book.find(CREDENTIAL, ASKED_AT)
    assert held is book.find(CREDENTIAL, ASKED_AT + given_for - A_BIT)
    assert book.find(CREDENTIAL, ASKED_AT + given_for) is None
    assert ASKED_AT + good_for == book.ends_at(held)


def test_the_hour_is_counted_from_the_asking() -> None:
    """
    A pair accepted late is not good any longer: Noojee's own clock was read after we asked.
    """
    book, held = keep_book()
    assert book.find(CREDENTIAL, ASKED_AT + 50) is None

    book.accept(CREDENTIAL, held)  # the reply to a poll that was held for a minute

    assert held is book.find(CREDENTIAL, ASKED_AT + 60)
    assert book.find(CREDENTIAL, ASKED_AT + 3540) is None


def test_an_older_pair_that_is_proven_takes_the_place_of_one_that_is_not() -> None:
    """
    Pollers alone would otherwise shake hands every ten seconds for ever.
    """
    book, older = keep_book()
    newer = hold(ASKED_AT + 20)
    book.add(CREDENTIAL, newer)
    assert newer is book.find(CREDENTIAL, ASKED_AT + 25)

    book.accept(CREDENTIAL, older)

    assert older is book.find(CREDENTIAL, ASKED_AT + 25)
    book.accept(CREDENTIAL, newer)
    assert older is book.find(CREDENTIAL, ASKED_AT + 80)


def test_an_older_pair_does_not_take_the_place_of_a_proven_one() -> None:
    """
    The younger lives longer.
    """
    book, older = keep_book()
    newer = hold(ASKED_AT + 20)
    book.add(CREDENTIAL, newer)
    book.accept(CREDENTIAL, newer)

    book.accept(CREDENTIAL, older)

    assert newer is book.find(CREDENTIAL, ASKED_AT + 80)


def test_a_dropped_pair_never_comes_back() -> None:
    """
    Not even when a call that was under way with it succeeds.
    """
    book, held = keep_book(accepted=True)
    book.drop(CREDENTIAL, held)
    assert book.find(CREDENTIAL, ASKED_AT + 1) is None
    book.accept(CREDENTIAL, held)
    assert book.find(CREDENTIAL, ASKED_AT + 1) is None
    newer = hold(ASKED_AT + 2)
    book.add(CREDENTIAL, newer)

    book.accept(CREDENTIAL, held)

    assert newer is book.find(CREDENTIAL, ASKED_AT + 3)


def test_dropping_an_old_pair_leaves_the_new_one() -> None:
    """
    Many calls may learn at once that their pair has expired; only the first of them shakes hands.
    """
    book, held = keep_book(accepted=True)
    newer = hold(ASKED_AT + 20)
    book.add(CREDENTIAL, newer)

    book.drop(CREDENTIAL, held)

    assert newer is book.find(CREDENTIAL, ASKED_AT + 21)


@pytest.mark.parametrize(
    "changed",
    [
        dataclasses.replace(CREDENTIAL, sealed=b"rotated"),
        dataclasses.replace(CREDENTIAL, upstream=dataclasses.replace(NOOJEE, host="other.example.com")),
        dataclasses.replace(CREDENTIAL, upstream=dataclasses.replace(NOOJEE, ca_pem="other")),
        dataclasses.replace(CREDENTIAL, credential_id="c2"),
    ],
)
def test_what_has_changed_has_no_pair(changed: Credential) -> None:
    """
    A rotated key, a moved upstream, another credential: each starts anew, and the old pair is forgotten.
    """
    book, held = keep_book(accepted=True)

    assert book.find(changed, ASKED_AT + 1) is None
    book.keep({CREDENTIAL})
    assert held is book.find(CREDENTIAL, ASKED_AT + 1)
    book.keep({changed})
    assert book.find(CREDENTIAL, ASKED_AT + 1) is None


def test_neither_book_nor_pair_shows_a_hash() -> None:
    """
    Law 3: what is printed while somebody looks for a fault ends in a log.
    """
    book, held = keep_book()
    digest = held.pair.reveal_query().rpartition(b"=")[2].decode()

    assert digest not in f"{book!r} {held!r} {book} {held}"
    assert str(int(ASKED_AT * 1000)) not in f"{book!r} {held!r}"
