"""
From a presented text to a caller: every refusal, in its order, and none that tells more than it must.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.access.caller import Caller
from gateway.access.snapshot import Snapshot
from gateway.access.token import Token, digest_token
from gateway.data_plane.authentication import Authenticator, Standing, renew
from gateway.data_plane.carriers import Carrier
from gateway.data_plane.headers import Headers
from gateway.data_plane.problem import render
from gateway.errors import CallerError, Reason

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)

# Written down, not made anew: they stand in the names of tests, which must be the same in each run.
GOOD = "njg_dmsAjFy65NSi_GukFX1yJMomYoE17DJzll8XIsiIEyZSq_1lyi7h"
EXPIRING = "njg_XlbAfJ66sLTc_50rxEYEfIGZSJhjwfDvkGEgebesEVq8q_2mObjP"
UNKNOWN = "njg_zKTJomLqLNdP_122S11bj93QAGNn3XXvbhbcoYrAVMQ0y_0KvbKJ"
OF_DISABLED = "njg_sHOatwQa5HPA_JcFABHjyLyVTqUTgFTrIjU8uG2usDgSc_3fLq5c"
HELD_UUID, OTHER_UUID = "867400cb-beff-46d6-b01f-a0ed41faff3f", "f5337a05-7373-499a-9fe9-a7dcb9129db4"
HELD_WORD = "an-old-key-of-another-form"
MALFORMED = GOOD[:-1]

Sighting = tuple[str | None, Carrier, str]


def fingerprint(text: str) -> bytes:
    """
    A keyed mark, as custody's.
    """
    return hashlib.sha256(b"key" + text.encode(errors="surrogatepass")).digest()


SNAPSHOT = Snapshot(
    version=7,
    tokens={
        digest_token(GOOD): Token("good", "crm", None),
        digest_token(EXPIRING): Token("expiring", "crm", NOW),
        digest_token(OF_DISABLED): Token("orphan", "gone", None),
    },
    callers={"crm": Caller("crm", (), query_token_allowed=True, grants=())},
    credentials={},
    fingerprints={fingerprint(HELD_UUID): "main-global", fingerprint(HELD_WORD): "old-key"},
)


@pytest.fixture
def sightings() -> list[Sighting]:
    """
    What was told of Noojee keys.
    """
    return []


@pytest.fixture
def authenticator(sightings: list[Sighting]) -> Authenticator:
    """
    An authenticator that tells `sightings`.
    """
    return Authenticator(
        fingerprint=fingerprint,
        key_presented=lambda name, carrier, peer, _client: sightings.append((name, carrier, peer)),
    )


def authenticate(authenticator: Authenticator, *texts: str, query: bytes = b"", now: datetime = NOW) -> Standing:
    """
    Present the texts: the first as Bearer, the others as X-API-Key.
    """
    headers = [
        (b"x-api-key", text.encode()) if place else (b"authorization", b"Bearer " + text.encode())
        for place, text in enumerate(texts)
    ]
    return authenticator.authenticate(SNAPSHOT, Headers(headers), query, "192.0.2.7", now)


def refusal(authenticator: Authenticator, *texts: str, query: bytes = b"", now: datetime = NOW) -> CallerError:
    """
    The refusal that the texts meet.
    """
    with pytest.raises(CallerError) as caught:
        authenticate(authenticator, *texts, query=query, now=now)
    return caught.value


def told(error: CallerError) -> tuple[object, ...]:
    """
    The bytes that the caller gets, for a request id that is always the same.
    """
    return render(error.reason, "00000000-0000-7000-8000-000000000000", error.detail, error.retry_after_seconds)


def test_a_good_token_stands_for_its_caller(authenticator: Authenticator, sightings: list[Sighting]) -> None:
    """
    With the version of the registry that said so.
    """
    standing = authenticate(authenticator, GOOD)

    assert ("crm", "good", 7) == (standing.caller.name, standing.token.token_id, standing.snapshot.version)
    assert (Carrier.AUTHORIZATION, False) == (standing.carrier, standing.in_query)
    assert [] == sightings


@pytest.mark.parametrize(
    ("texts", "query", "carrier", "in_query"),
    [
        ([], f"apiKey={GOOD}", Carrier.QUERY, True),
        ([GOOD, GOOD], "", Carrier.AUTHORIZATION, False),
        ([GOOD], f"x=1&apiKey={GOOD}", Carrier.AUTHORIZATION, True),
        ([], f"apiKey={GOOD}&api%4Bey={GOOD.replace('_', '%5F')}", Carrier.QUERY, True),
        ([GOOD], f"apikey={OTHER_UUID}&hash=x", Carrier.AUTHORIZATION, False),
    ],
)
def test_equal_texts_in_several_places_are_fine(
    authenticator: Authenticator, texts: list[str], query: str, carrier: Carrier, *, in_query: bool
) -> None:
    """
    The first carrier is recorded; that one of them is the query is not excused by a header.
    """
    standing = authenticate(authenticator, *texts, query=query.encode())

    assert (carrier, in_query) == (standing.carrier, standing.in_query)


@pytest.mark.parametrize(
    ("texts", "query", "reason", "why"),
    [
        ([], "", Reason.TOKEN_MISSING, "nothing"),
        ([], "apiKey=&apikey=x", Reason.TOKEN_MISSING, "nothing in a carrier"),
        ([MALFORMED], "", Reason.TOKEN_MALFORMED, "cut"),
        ([GOOD + " " + GOOD], "", Reason.TOKEN_MALFORMED, "two in one"),
        ([], "apiKey=%ff", Reason.TOKEN_MALFORMED, "no text"),
        ([UNKNOWN], "", Reason.TOKEN_INVALID, "unknown"),
        ([EXPIRING], "", Reason.TOKEN_INVALID, "expired"),
        ([OF_DISABLED], "", Reason.TOKEN_INVALID, "of a caller that is not there"),
        ([OTHER_UUID], "", Reason.UPSTREAM_KEY_PRESENTED, "a Noojee key by its form"),
        ([GOOD], f"apiKey={OTHER_UUID}", Reason.UPSTREAM_KEY_PRESENTED, "told before ambiguity, beside a good token"),
        ([OTHER_UUID, HELD_UUID], "", Reason.UPSTREAM_KEY_PRESENTED, "two of them"),
        ([GOOD, UNKNOWN], "", Reason.TOKEN_AMBIGUOUS, "two tokens"),
        ([GOOD, MALFORMED], "", Reason.TOKEN_AMBIGUOUS, "told before malformed"),
        ([GOOD], f"apiKey={UNKNOWN}", Reason.TOKEN_AMBIGUOUS, "header and query"),
        ([], f"apiKey={GOOD}&apiKey={UNKNOWN}", Reason.TOKEN_AMBIGUOUS, "twice in the query"),
        ([HELD_WORD], "", Reason.TOKEN_MALFORMED, "a held key of another form"),
    ],
)
def test_refusals_have_their_order(
    authenticator: Authenticator, texts: list[str], query: str, reason: Reason, why: str
) -> None:
    """
    Contract sections 3 and 4.
    """
    assert reason is refusal(authenticator, *texts, query=query.encode()).reason, why


def test_unknown_expired_and_disabled_are_told_in_the_same_bytes(authenticator: Authenticator) -> None:
    """
    Nobody learns whether a token exists. A revoked one is not in the snapshot, and so is an unknown one.
    """
    answers = [told(refusal(authenticator, text)) for text in (UNKNOWN, EXPIRING, OF_DISABLED)]

    assert [answers[0]] * 3 == answers


def test_whether_we_hold_a_key_shows_in_no_answer(authenticator: Authenticator) -> None:
    """
    Of UUID form or another: the same bytes as for a text that we have never seen.
    """
    by_uuid = [told(refusal(authenticator, text)) for text in (HELD_UUID, OTHER_UUID)]
    by_word = [told(refusal(authenticator, text)) for text in (HELD_WORD, "never-seen", MALFORMED)]

    assert by_uuid[0] == by_uuid[1]
    assert by_word[0] == by_word[1] == by_word[2]


@pytest.mark.parametrize(
    ("texts", "query", "expected"),
    [
        ([HELD_UUID], "", [("main-global", Carrier.AUTHORIZATION)]),
        ([HELD_UUID.upper()], "", [(None, Carrier.AUTHORIZATION)]),
        ([OTHER_UUID], "", [(None, Carrier.AUTHORIZATION)]),
        ([HELD_WORD], "", [("old-key", Carrier.AUTHORIZATION)]),
        ([GOOD], f"apiKey={HELD_WORD}", [("old-key", Carrier.QUERY)]),
        ([OTHER_UUID, OTHER_UUID, HELD_UUID], "", [("main-global", Carrier.X_API_KEY)]),
        ([MALFORMED], "", []),
        ([UNKNOWN], "", []),
        ([], "", []),
    ],
)
def test_a_presented_key_is_told_once_and_without_its_text(
    authenticator: Authenticator,
    sightings: list[Sighting],
    texts: list[str],
    query: str,
    expected: list[tuple[str | None, Carrier]],
) -> None:
    """
    The credential, where we hold it, even behind others that we do not; the carrier and the peer.
    """
    refusal(authenticator, *texts, query=query.encode())

    assert [(*each, "192.0.2.7") for each in expected] == sightings


def test_a_token_is_good_until_its_instant(authenticator: Authenticator) -> None:
    """
    Expiry is checked on every call (law 8).
    """
    before = NOW - timedelta(microseconds=1)

    assert "expiring" == authenticate(authenticator, EXPIRING, now=before).token.token_id


def test_a_standing_is_renewed_by_the_snapshot_in_force(authenticator: Authenticator) -> None:
    """
    The caller as it is now; a token that was revoked, has expired or whose caller went is not used any more.
    """
    standing = authenticate(authenticator, EXPIRING, now=NOW - timedelta(seconds=1))
    changed = replace(SNAPSHOT, version=8, callers={"crm": Caller("crm", (), query_token_allowed=False, grants=())})
    renewed = renew(standing, changed, NOW - timedelta(seconds=1))

    assert (8, False) == (renewed.snapshot.version, renewed.caller.query_token_allowed)
    for snapshot, now in (
        (changed, NOW),
        (replace(changed, tokens={}), NOW - timedelta(seconds=1)),
        (replace(changed, callers={}), NOW - timedelta(seconds=1)),
    ):
        with pytest.raises(CallerError) as caught:
            renew(standing, snapshot, now)
        assert Reason.TOKEN_INVALID is caught.value.reason


def test_a_standing_shows_no_token(authenticator: Authenticator) -> None:
    """
    Neither the text nor, beside it, what only looks like it.
    """
    shown = repr(authenticate(authenticator, GOOD))

    assert GOOD not in shown
    assert GOOD.split("_")[2] not in shown
    assert "<Snapshot 7: 1 callers, 3 tokens>" in shown
