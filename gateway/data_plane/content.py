"""
Which bodies go up, and in which form (contract section 5).

A servlet decodes form names in the charset that the request names, so any charset but UTF-8 would make it read other
parameters than we decided on (law 9): refused, as is everything compressed or multipart.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from gateway.errors import CallerError, Reason
from gateway.noojee.parameters import strip_credentials

if TYPE_CHECKING:
    from gateway.data_plane.headers import Headers
    from gateway.noojee.catalogue import Operation

__all__ = ["Content", "read_content"]

_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"
# What goes up: our own spelling. The form names its charset because a servlet's default for forms is ISO-8859-1.
_SPELLING = {_FORM: b"application/x-www-form-urlencoded; charset=UTF-8", _JSON: b"application/json"}
_MEDIA_TYPE = re.compile(r"([a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+)\s*((?:;.*)?)", re.ASCII | re.DOTALL)
_PARAMETER = re.compile(r";\s*(?:([a-z0-9!#$&^_.+-]+)=(\"[^\"\\]*\"|[a-z0-9!#$&^_.+:-]+))?\s*", re.ASCII)
_UTF_8 = frozenset({"utf-8", "utf8"})


class Content(NamedTuple):
    """
    A body as it goes up. It has no printable form: it may hold personal data.

    Attributes:
        body: Without credential parameters where it is a form; otherwise byte for byte.
        form: `body` where it is a form, else empty: what is read as parameters.
        content_type: Our own spelling; None when there is no body to describe.
    """

    body: bytes
    form: bytes
    content_type: bytes | None

    def __repr__(self) -> str:
        return f"<Content of {len(self.body)} bytes>"


_NOTHING = Content(b"", b"", None)


def read_content(operation: Operation, headers: Headers, raw: bytes) -> Content:
    """
    The body of a call as it will go up.

    An empty body may have any type. A form is taken by every operation, JSON where the catalogue has a body.

    Raises:
        CallerError: `body_not_supported`, also for two Content-Types and any Content-Encoding.
    """
    values = headers.find(b"content-type")
    if not raw and not values:
        return _NOTHING
    media_type = _parse_media_type(values[0]) if len(values) == 1 else None
    content_type = _SPELLING.get(media_type or "")
    if not raw:
        return Content(b"", b"", content_type)
    is_supported = media_type == _FORM or (media_type == _JSON and operation.takes_json)
    if not is_supported or b"content-encoding" in headers:
        raise CallerError(Reason.BODY_NOT_SUPPORTED)
    if media_type == _FORM:
        body = strip_credentials(raw)
        return Content(body, body, content_type)
    return Content(raw, b"", content_type)


def _parse_media_type(value: bytes) -> str | None:
    """
    `type/subtype` in lower case, or None when the value is malformed or names a charset other than UTF-8.
    """
    matched = _MEDIA_TYPE.fullmatch(value.decode("latin-1").strip().lower())
    if matched is None:
        return None
    media_type, rest = matched.groups()
    position = 0
    charsets = []
    while position < len(rest):
        parameter = _PARAMETER.match(rest, position)
        if parameter is None:
            return None
        if parameter[1] == "charset":
            charsets.append(parameter[2].strip('"'))
        position = parameter.end()
    if len(charsets) > 1 or not _UTF_8.issuperset(charsets):
        return None
    return media_type
