"""
How a refusal looks on the wire: RFC 9457 `application/problem+json`, with the two members that Noojee's clients read.

Owns the members and the headers that belong to a status; knows neither who refuses nor how an answer is framed.
Nothing but the reason's constant text, the detail and the request id goes out (law 3).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import orjson

from gateway.errors import Reason

__all__ = ["render"]

_CONTENT_TYPE: Final = (b"Content-Type", b"application/problem+json")


def render(
    reason: Reason, request_id: str, detail: str | None = None, retry_after_seconds: int | None = None
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """
    Status, headers and body of a refusal.

    Args:
        reason: The catalogue's entry.
        request_id: The call's UUIDv7.
        detail: What happened and what to do; without it the reason's advice.
        retry_after_seconds: For `Retry-After`, when waiting helps.

    Returns:
        The status (law 7: >= 400), the headers without those that the door puts on every answer, and the body. The same
        arguments give the same bytes.
    """
    sentence = detail or reason.advice
    if not sentence.endswith("."):
        sentence += "."  # advice to which a fate may be added stands without its full stop
    body = orjson.dumps(
        {
            "type": f"urn:noojee-gateway:error:{reason.code}",
            "title": reason.title,
            "status": reason.status,
            "detail": sentence,
            "instance": f"urn:uuid:{request_id}",
            "reason": reason.code,
            "Code": reason.noojee_code,
            "Message": sentence,
        }
    )
    headers = [_CONTENT_TYPE]
    if reason.status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"WWW-Authenticate", b"Bearer"))
    elif reason is Reason.METHOD_NOT_ALLOWED:
        headers.append((b"Allow", b"POST"))
    if retry_after_seconds is not None:
        headers.append((b"Retry-After", b"%d" % retry_after_seconds))
    return reason.status, headers, body
