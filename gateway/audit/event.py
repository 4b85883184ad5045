"""
What an event is: the registered tags, the fields in their order, and the rendering of one line (contract section 7).

Knows nothing of files. An event is rendered in two steps: its author's fields at once, where a mistake is the author's
and is told to him; the journal's own fields around them when the event's place in the chain is known. What is written
for every call comes rendered already (`Rendered`), so that no field is looked at twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from datetime import datetime

    from gateway.audit.chain import Previous

__all__ = [
    "CALL_FIELDS",
    "FIELDS",
    "LINE_LIMIT_BYTES",
    "VERSION",
    "Draft",
    "Event",
    "Rendered",
    "Tag",
    "render_closing",
    "render_draft",
    "render_line",
    "render_tag",
    "stamp",
]

VERSION = 1

LINE_LIMIT_BYTES = 16 * 1024
"""The longest line, its newline included."""

_OWN_FIELDS_BYTES = 1024
"""Kept free in each line for what the journal adds: 150 bytes, and 400 more in a segment's first record."""

Event = Mapping[str, object]
"""
Fields of `FIELDS` as plain JSON values, without those that the journal sets itself. A value of None counts as absent.
`tag` must be there; `at` is set when the event is handed in, unless the author knows better.
"""


class Tag(StrEnum):
    """
    What an event tells of. Retired tags stay listed, so that old records remain readable.
    """

    CALL_DENIED = "call.denied"
    CALL_INTENDED = "call.intended"
    CALL_ENDED = "call.ended"
    CHANGE_INTENDED = "change.intended"
    CHANGE_FAILED = "change.failed"
    ANONYMOUS_SUMMARISED = "anonymous.summarised"
    DENIALS_SUMMARISED = "denials.summarised"
    UPSTREAM_KEY_PRESENTED = "upstream_key.presented"
    WORKER_STARTED = "worker.started"
    WORKER_RECOVERED = "worker.recovered"
    WORKER_STOPPED = "worker.stopped"
    CHECK_STARTED = "check.started"
    PROBER_STARTED = "prober.started"
    JOURNAL_RESUMED = "journal.resumed"
    REGISTRY_INITIALISED = "registry.initialised"
    REGISTRY_MIGRATED = "registry.migrated"
    UPSTREAM_ADDED = "upstream.added"
    UPSTREAM_CHANGED = "upstream.changed"
    UPSTREAM_REMOVED = "upstream.removed"
    CREDENTIAL_ADDED = "credential.added"
    CREDENTIAL_REMOVED = "credential.removed"
    CREDENTIAL_ROTATED = "credential.rotated"
    CALLER_ADDED = "caller.added"
    CALLER_CHANGED = "caller.changed"
    CALLER_DISABLED = "caller.disabled"
    CALLER_ENABLED = "caller.enabled"
    CALLER_REMOVED = "caller.removed"
    GRANT_ADDED = "grant.added"
    GRANT_REMOVED = "grant.removed"
    TOKEN_ISSUED = "token.issued"  # noqa: S105 - the word for an event, no token
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 - the same
    TOKEN_ROTATED = "token.rotated"  # noqa: S105 - the same
    MASTER_KEY_ROTATED = "master_key.rotated"
    MASTER_KEY_PRUNED = "master_key.pruned"


_PLACE = ("v", "stream", "seq", "prev")
_OPENING = ("at", "tag", "actor", "subject", "change", "counts")
_ORIGIN = ("node", "previous")
CALL_FIELDS = (
    "request_id",
    "attempt",
    "caller",
    "token_id",
    "carrier",
    "peer",
    "client",
    "operation",
    "credential",
    "owner",
    "grant_id",
    "policy_version",
)
"""What tells which attempt of whose call it is, in the order in which they stand in a line."""

_CLOSING = (
    *CALL_FIELDS,
    "parameters",
    "body_bytes",
    "body_hmac",
    "decision",
    "reason",
    "outcome",
    "upstream_status",
    "noojee_code",
    "reply_bytes",
    "duration_us",
)

FIELDS: tuple[str, ...] = _PLACE + _OPENING + _ORIGIN + _CLOSING
"""Every field, in the order in which they stand in a line."""

_AUTHORS_FIELDS = frozenset(_OPENING + _CLOSING)
_TAGS = frozenset(Tag)

# Only plain JSON values: orjson would gladly print a datetime or a dataclass, and then nobody chose the form.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


class Rendered:
    """
    An event whose author rendered it, and vouches that `render_draft` would come to the same but for the instant.

    For the one author whose events stand on the path of every call; its test compares the two.

    Attributes:
        opening: The field `tag`, from `render_tag`.
        closing: The fields from `request_id` on, from `render_closing`.
    """

    __slots__ = ("closing", "opening")

    def __init__(self, opening: bytes, closing: bytes) -> None:
        self.opening = opening
        self.closing = closing


class Draft:
    """
    An event as far as its author knows it: checked, its size known, no place in the chain yet.

    Attributes:
        opening: The fields from `at` to `counts`, as they will stand in the line.
        closing: The fields from `request_id` on, with a leading comma, or nothing.
        size_bytes: An upper bound of the line's length.

    Raises:
        ValueError: More than 16 KiB.
    """

    __slots__ = ("closing", "opening", "size_bytes")

    def __init__(self, opening: bytes, closing: bytes) -> None:
        self.opening = opening
        self.closing = closing
        self.size_bytes = len(opening) + len(closing) + _OWN_FIELDS_BYTES
        if self.size_bytes > LINE_LIMIT_BYTES:
            tag = self.as_record()["tag"]
            raise ValueError(f"an event of {tag} is too large for a line: about {self.size_bytes} bytes")

    def as_record(self) -> dict[str, Any]:
        """
        The author's fields, read back.
        """
        record: dict[str, Any] = orjson.loads(b"{%b%b}" % (self.opening, self.closing))
        return record

    def tells_of(self, tag: Tag) -> bool:
        """
        Whether that is the event's tag.
        """
        return bool(self.as_record()["tag"] == tag)


def render_draft(event: Event, now: datetime) -> Draft:
    """
    Check an event and render its author's fields.

    Args:
        event: What happened.
        now: The instant for `at`, when the event has none.

    Raises:
        ValueError: A mistake in our own code: an unknown field or tag, a field that is the journal's, a value that is
            no plain JSON, more than 16 KiB. Says which, and never holds a value.
    """
    if not event.keys() <= _AUTHORS_FIELDS:
        raise ValueError(f"not a field of an event: {', '.join(sorted(event.keys() - _AUTHORS_FIELDS))}")
    if event.get("tag") not in _TAGS:
        raise ValueError("an event needs a registered tag")
    opening = {name: value for name in _OPENING if (value := event.get(name)) is not None}
    closing = {name: value for name in _CLOSING if (value := event.get(name)) is not None}
    fields = _render_fields(opening)
    if "at" not in opening:
        fields = b'"at":%b,%b' % (_render_instant(now), fields)
    return Draft(fields, render_closing(closing) if closing else b"")


def stamp(event: Rendered, now: datetime) -> Draft:
    """
    What `render_draft` would make of an event that is rendered already.

    Raises:
        ValueError: More than 16 KiB.
    """
    return Draft(b'"at":%b,%b' % (_render_instant(now), event.opening), event.closing)


def render_tag(tag: Tag) -> bytes:
    """
    The opening of events that have no other opening field than their tag.
    """
    return b'"tag":"%b"' % tag.encode()


def render_closing(fields: dict[str, object]) -> bytes:
    """
    The fields from `request_id` on, given in their order and without blanks, which is not looked at.

    Raises:
        ValueError: A value is no plain JSON.
    """
    try:
        return b"," + orjson.dumps(fields, None, _OPTIONS)[1:-1]
    except TypeError:
        # Not chained: orjson's text may quote what it could not render, and that may be anything (law 3).
        raise ValueError(f"an event's fields are no plain JSON: {', '.join(fields)}") from None


def _render_instant(instant: datetime) -> bytes:
    """
    As `clock.render_instant` has it, in its quotes; a fifth of the time, which is that of a whole event.
    """
    text = orjson.dumps(instant, None, orjson.OPT_UTC_Z)
    return text if instant.microsecond else text[:-2] + b'.000000Z"'


def render_line(
    draft: Draft, stream: str, head: tuple[int, str], *, node: str | None = None, previous: Previous | None
) -> bytes:
    """
    The line, with its newline, of the record that comes after `head`.

    Args:
        draft: The event.
        stream: The stream's name.
        head: The stream's last record, to which this one is chained: its `seq` and digest, as in a `Head`.
        node: Given for a segment's first record alone.
        previous: With `node`: the segment before; None for a stream's first.
    """
    seq, digest = head
    place = f'{{"v":{VERSION},"stream":"{stream}","seq":{seq + 1},"prev":"{digest}",'.encode()
    if node is None:
        return b"".join((place, draft.opening, draft.closing, b"}\n"))
    origin = _render_fields({"node": node, "previous": previous.as_json() if previous else None})
    return b"".join((place, draft.opening, b",", origin, draft.closing, b"}\n"))


def _render_fields(fields: dict[str, object]) -> bytes:
    """
    `"name":value,...`: an object without its braces.
    """
    return render_closing(fields)[1:]
