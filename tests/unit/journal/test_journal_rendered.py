"""
What a call's record renders by itself, against what the checked path makes of the same fields.
"""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from gateway.audit.event import Rendered, Tag, render_closing, render_draft, render_tag, stamp
from gateway.clock import render_instant
from gateway.data_plane.call_record import CallRecord, Ending
from gateway.data_plane.carriers import Carrier
from gateway.errors import Reason
from gateway.outcome import Outcome
from gateway.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 5, 3, 9, 15, 0, 1, tzinfo=UTC)
PARAMETERS: dict[str, object] = {"exten": {"text": 'a "b" \\ \u2028 \U0001f600'}, "?": [{"hmac": "0", "key_id": "1"}]}


def create_record(carrier: Carrier, owner: str | None, **known: Any) -> CallRecord:
    """
    A record of a call, as far as the arguments know it. The values are plain; what holds them need not be real.
    """
    standing: Any = SimpleNamespace(
        caller=SimpleNamespace(name="crm"),
        token=SimpleNamespace(token_id="t3kXw9Qa0LmZ"),
        carrier=carrier,
        snapshot=SimpleNamespace(version=17),
    )
    grant: Any = SimpleNamespace(grant_id="g-1", credential=SimpleNamespace(name="alice", owner=owner))
    if "grant" in known:
        known["grant"] = grant
    return CallRecord("0196a1b2-0000-7000-8000-000000000001", standing, "2001:db8::1", 1.0, **known)


def iterate_records() -> Iterator[CallRecord]:
    """
    A record at every point of the story, for every carrier, with and without an owner.
    """
    operation: Any = SimpleNamespace(name="CallManagementAPI/start")
    learnt: list[tuple[str, Any]] = [
        ("operation", operation),
        ("grant", None),
        ("parameters", PARAMETERS),
        ("body_bytes", 0),
        ("body_hmac", "f" * 64),
        ("attempt", 2),
    ]
    for carrier, owner, known in itertools.product(Carrier, [None, 'o"brien'], range(len(learnt) + 1)):
        yield create_record(carrier, owner, **dict(learnt[:known]))


def iterate_endings() -> Iterator[Ending]:
    """
    Every outcome, with and without each of the rest.
    """
    for outcome in Outcome:
        yield Ending(outcome)
        yield Ending(outcome, Reason.UPSTREAM_BROKE, 502, -1, 0, "detail that stands nowhere")


def expect_equal(tag: Tag, rendered: Rendered) -> None:
    """
    The same bytes as from the checked path, which knows the names, puts them in order and takes plain JSON alone.
    """
    fields = orjson.loads(b"{%b}" % rendered.closing[1:])
    checked, stamped = render_draft({"tag": tag, **fields}, NOW), stamp(rendered, NOW)

    assert (checked.opening, checked.closing) == (stamped.opening, stamped.closing)
    assert checked.size_bytes == stamped.size_bytes


def test_intents_and_denials_are_what_the_checked_path_makes_of_them() -> None:
    """
    At every point of the story.
    """
    for record in iterate_records():
        expect_equal(Tag.CALL_INTENDED, record.intended())
        expect_equal(Tag.CALL_DENIED, record.denied("operation_not_granted"))


def test_outcomes_are_what_the_checked_path_makes_of_them() -> None:
    """
    Every outcome at every point of the story.
    """
    for record, ending in itertools.product(iterate_records(), iterate_endings()):
        expect_equal(Tag.CALL_ENDED, record.ended(ending, 1.25))


def test_a_record_says_all_that_is_known_and_nothing_else() -> None:
    """
    A whole one, field by field.
    """
    record = create_record(
        Carrier.QUERY,
        "alice@example.org",
        operation=SimpleNamespace(name="CampaignAPI/insertLeadFast"),
        grant=None,
        parameters=PARAMETERS,
        body_bytes=12,
        body_hmac="f" * 64,
    )
    call = {"request_id": "0196a1b2-0000-7000-8000-000000000001", "attempt": 1, "caller": "crm"}

    intent = orjson.loads(b"{%b}" % record.intended().closing[1:])
    outcome = orjson.loads(b"{%b}" % record.ended(Ending(Outcome.REFUSED, None, 400, 105, 31), 1.000_25).closing[1:])

    assert {
        **call,
        "token_id": "t3kXw9Qa0LmZ",
        "carrier": "query",
        "peer": "2001:db8::1",
        "operation": "CampaignAPI/insertLeadFast",
        "credential": "alice",
        "owner": "alice@example.org",
        "grant_id": "g-1",
        "policy_version": 17,
        "parameters": PARAMETERS,
        "body_bytes": 12,
        "body_hmac": "f" * 64,
        "decision": "allow",
    } == intent
    assert {
        **call,
        "operation": "CampaignAPI/insertLeadFast",
        "credential": "alice",
        "outcome": "refused",
        "upstream_status": 400,
        "noojee_code": 105,
        "reply_bytes": 31,
        "duration_us": 250,
    } == outcome


@pytest.mark.parametrize("microsecond", [0, 1, 120_000, 999_999])
def test_the_stamp_is_the_instant_as_everywhere(microsecond: int) -> None:
    """
    Six digits, also where there are none to tell.
    """
    instant = NOW.replace(microsecond=microsecond)
    expected = b'"at":"%b","tag":"call.denied"' % render_instant(instant).encode()

    assert expected == stamp(Rendered(render_tag(Tag.CALL_DENIED), b""), instant).opening
    assert expected == render_draft({"tag": Tag.CALL_DENIED}, instant).opening


def test_a_secret_or_a_line_too_long_is_refused_there_too() -> None:
    """
    As on the checked path, and without a value in the error.
    """
    with pytest.raises(ValueError, match="no plain JSON: caller") as caught:
        render_closing({"caller": Secret("njg-marked-secret")})
    assert "marked" not in repr(caught.value)

    long = Rendered(render_tag(Tag.CALL_INTENDED), render_closing({"parameters": {"x": "y" * 16_000}}))
    with pytest.raises(ValueError, match=r"call\.intended is too large"):
        stamp(long, NOW)
