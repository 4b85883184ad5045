"""
What an event is: the registered tags, the fields in their order, and the rendering of one line (contract section 7).

Knows nothing of files. An event is rendered in two steps: its author's fields at once, where a mistake is the author's
and is told to him; the journal's own fields around them when the event's place in the chain is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import orjson

from gateway.clock import render_instant

if TYPE_CHECKING:
    from datetime import datetime

    from gateway.audit.chain import Head, Previous

__all__ = ["FIELDS", "LINE_LIMIT_BYTES", "VERSION", "Draft", "Event", "Tag", "render_draft", "render_line"]

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
    JOURNAL_RESUMED = "journal.resumed"
    REGISTRY_INITIALISED = "registry.initialised"
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
_CLOSING = (
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


@dataclass(frozen=True, slots=True)
class Draft:
    """
    An event as far as its author knows it: checked, its size known, no place in the chain yet.

    Attributes:
        opening: The fields from `at` to `counts`, as they will stand in the line.
        closing: The fields from `request_id` on, with a leading comma, or nothing.
    """

    opening: bytes
    closing: bytes

    @property
    def size_bytes(self) -> int:
        """
        An upper bound of the line's length.
        """
        return len(self.opening) + len(self.closing) + _OWN_FIELDS_BYTES


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
    if "at" not in opening:
        opening = {"at": render_instant(now), **opening}
    closing = {name: value for name in _CLOSING if (value := event.get(name)) is not None}
    draft = Draft(_render_fields(opening), b"," + _render_fields(closing) if closing else b"")
    if draft.size_bytes > LINE_LIMIT_BYTES:
        raise ValueError(f"an event of {event['tag']} is too large for a line: about {draft.size_bytes} bytes")
    return draft


def render_line(draft: Draft, stream: str, head: Head, *, node: str | None = None, previous: Previous | None) -> bytes:
    """
    The line, with its newline, of the record that comes after `head`.

    Args:
        draft: The event.
        stream: The stream's name.
        head: The stream's last record, to which this one is chained.
        node: Given for a segment's first record alone.
        previous: With `node`: the segment before; None for a stream's first.
    """
    place = b'{"v":%d,"stream":"%b","seq":%d,"prev":"%b",' % (
        VERSION,
        stream.encode(),
        head.seq + 1,
        head.digest.encode(),
    )
    origin = b""
    if node is not None:
        origin = b"," + _render_fields({"node": node, "previous": previous.as_json() if previous else None})
    return b"%b%b%b%b}\n" % (place, draft.opening, origin, draft.closing)


def _render_fields(fields: dict[str, object]) -> bytes:
    """
    `"name":value,...`: an object without its braces.
    """
    try:
        return orjson.dumps(fields, option=_OPTIONS)[1:-1]
    except TypeError:
        # Not chained: orjson's text may quote what it could not render, and that may be anything (law 3).
        raise ValueError(f"an event's fields are no plain JSON: {', '.join(fields)}") from None
