"""
One line of the journal: what may stand in it, and in which order.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

import orjson
import pytest

from gateway.audit.chain import START, Head, Previous, extend, parse_opening, parse_record
from gateway.audit.event import FIELDS, LINE_LIMIT_BYTES, Event, Tag, render_draft, render_line
from gateway.outcome import Outcome
from gateway.secret import Secret

NOW = datetime(2026, 5, 3, 9, 15, 0, 1, tzinfo=UTC)


def render(event: Event, head: Head = START) -> bytes:
    """
    The event's line in the middle of a segment.
    """
    return render_line(render_draft(event, NOW), "worker-0", head, previous=None)


def test_fields_stand_in_the_order_of_the_contract() -> None:
    """
    However the author wrote them, so that two records of a kind look alike.
    """
    event = {"outcome": Outcome.SUCCEEDED, "attempt": 1, "request_id": "r", "tag": Tag.CALL_ENDED, "counts": {"a": 1}}

    record = orjson.loads(render(event))

    assert ["v", "stream", "seq", "prev", "at", "tag", "counts", "request_id", "attempt", "outcome"] == list(record)
    assert list(record) == [name for name in FIELDS if name in record]


def test_a_segments_first_record_tells_where_it_comes_from() -> None:
    """
    `node` and `previous` stand in their place, and what was written can be read back.
    """
    previous = Previous("00000001.jsonl", 512, "b" * 64)
    draft = render_draft({"tag": Tag.CALL_DENIED, "request_id": "r"}, NOW)

    line = render_line(draft, "worker-0", Head(6, "a" * 64), node="gw1", previous=previous)
    opening = parse_opening(line)

    assert ["v", "stream", "seq", "prev", "at", "tag", "node", "previous", "request_id"] == list(orjson.loads(line))
    assert opening is not None
    assert (7, "a" * 64, previous) == (opening.seq, opening.prev, opening.previous)


def test_the_instant_is_set_when_it_is_handed_in_unless_the_author_knows_better() -> None:
    """
    RFC 3339, UTC, microseconds and Z.
    """
    own = "2026-05-03T09:00:00.000000Z"

    assert orjson.loads(render({"tag": Tag.WORKER_STARTED}))["at"] == "2026-05-03T09:15:00.000001Z"
    assert orjson.loads(render({"tag": Tag.WORKER_STARTED, "at": own}))["at"] == own


def test_none_counts_as_absent() -> None:
    """
    A field that does not apply does not stand there.
    """
    assert b"owner" not in render({"tag": Tag.CALL_INTENDED, "owner": None})


@pytest.mark.parametrize("name", ["v", "stream", "seq", "prev", "node", "previous", "apiKey"])
def test_a_field_that_is_not_the_authors_is_a_mistake(name: str) -> None:
    """
    Unknown names, and those that the journal sets itself.
    """
    with pytest.raises(ValueError, match=f"not a field of an event: {name}"):
        render({"tag": Tag.CALL_DENIED, name: "x"})


@pytest.mark.parametrize("event", [{}, {"tag": "call.guessed"}])
def test_an_event_needs_a_registered_tag(event: Event) -> None:
    """
    Tags are an enum: what is not in it cannot be searched for later.
    """
    with pytest.raises(ValueError, match="registered tag"):
        render(event)


@pytest.mark.parametrize("value", [Secret("njg-marked-secret"), NOW, b"njg-marked-secret", {1: "x"}, "\ud800"])
def test_only_plain_json_is_written_and_the_error_shows_no_value(value: object) -> None:
    """
    A `Secret` that strays into an event is an error, and neither the error nor its cause tells what it was.
    """
    with pytest.raises(ValueError, match="no plain JSON") as caught:
        render({"tag": Tag.CALL_DENIED, "caller": value})

    assert "marked" not in repr(caught.value)
    assert caught.value.__suppress_context__


def test_a_line_has_at_most_16_kib_with_all_that_the_journal_adds() -> None:
    """
    The author is told at once; what is accepted fits, also as a segment's first record with the longest node name.
    """
    fits = {"tag": Tag.CALL_DENIED, "parameters": {"x": "y" * 15_200}}
    draft = render_draft(fits, NOW)
    previous = Previous("00000001.jsonl", 10**18, "b" * 64)

    line = render_line(draft, "worker-1000", Head(10**18, "a" * 64), node="n" * 255, previous=previous)

    assert len(line) <= LINE_LIMIT_BYTES
    with pytest.raises(ValueError, match="too large"):
        render_draft({"tag": Tag.CALL_DENIED, "parameters": {"x": "y" * 16_000}}, NOW)


def test_every_text_becomes_one_line_without_raw_control_characters() -> None:
    """
    Whatever a parameter holds: newlines, NUL and line separators cannot break the line or look like a hole in it.
    """
    text = "a\nb\0c\r\u2028\x85"

    line = render({"tag": Tag.CALL_DENIED, "parameters": {"x": {"text": text}}})

    assert line.count(b"\n") == 1
    assert b"\0" not in line
    assert orjson.loads(line)["parameters"]["x"]["text"] == text


def test_the_chain_is_over_the_bytes_without_the_newline() -> None:
    """
    As an auditor would compute it with `sha256sum`.
    """
    head = extend(START, b"{}\n")

    assert Head(1, "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a") == head
    assert head == extend(START, b"{}")


@pytest.mark.parametrize("line", [b"", b"{}\n", b"[]\n", b'{"seq":1}', b'{"seq":true}\n', b'{"seq":"1"}\n', b"\0\n"])
def test_what_is_no_whole_record_is_none(line: bytes) -> None:
    """
    No newline, no object, no integer `seq`.
    """
    assert parse_record(line) is None


@pytest.mark.parametrize(
    "previous",
    ['"x"', "{}", '{"name":"a","length":-1,"head":"b"}', '{"name":"a","length":1,"head":"b","more":1}'],
)
def test_a_malformed_previous_is_no_opening(previous: str) -> None:
    """
    Anything but null or exactly name, length and head.
    """
    assert parse_opening(b'{"seq":1,"prev":"a","previous":%b}\n' % previous.encode()) is None


def test_tags_are_words_of_one_form() -> None:
    """
    `<subject>.<past participle>`.
    """
    assert all(re.fullmatch(r"[a-z_]+\.[a-z]+(ed|known)", tag) for tag in Tag)
