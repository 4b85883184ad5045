"""
What stands between an operation and the wire: a request as it was received, a reply as it shall go out.

Values only; `protocol.py` alone turns them into bytes on a connection. A reply also says in which broken manner it goes
out, so that faults are decided in `faults.py` and performed at the edge.
"""

from __future__ import annotations

import enum
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

__all__ = [
    "EXPIRED",
    "REFUSED",
    "Ending",
    "RefusalError",
    "Reply",
    "Request",
    "create_json_reply",
    "create_not_found_reply",
    "create_refusal_reply",
    "parse_parameters",
    "render_now",
    "render_reply_head",
]

REFUSED = -2
"""The code of every refusal. Documented are only the sign (negative: error) and -1, which is an expired hash pair."""

EXPIRED = -1
"""The code of the reply to a hash pair that has expired."""

_REASONS = {
    200: "OK",
    302: "Found",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}

_LOWER_CASE_FAMILIES = ("CampaignAPI/", "rosterApi/", "systemHealth/")
_OPERATION_PATH = re.compile(r"/(?:servicemanager|njadmin)/rest/([^/]+(?:/[^/]+)?)")
_FORM = "application/x-www-form-urlencoded"
_NOT_FOUND_PAGE = (
    b"<!doctype html><html><head><title>HTTP Status 404</title></head>"
    b"<body><h1>HTTP Status 404</h1><p>The requested resource is not available.</p></body></html>"
)


class Ending(enum.Enum):
    """
    What happens to the connection after a reply.
    """

    KEEP = "keep"  # kept alive, if the request lets us
    CLOSE = "close"  # announced by close_notify, then closed
    SILENT_CLOSE = "silent_close"  # as CLOSE, but no header of the reply announces it
    TRUNCATE = "truncate"  # FIN without close_notify
    RESET = "reset"  # RST; nothing of the reply is sent
    STALL = "stall"  # left open and silent until the caller leaves


@dataclass(frozen=True, slots=True)
class Request:
    """
    One complete inbound request. `target` is as received, decoded as Latin-1, with the key that it carries.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    peer: str
    connection: int
    is_kept_alive: bool = True

    @property
    def path(self) -> str:
        """
        The target without query, undecoded; the authority of an absolute-form target is dropped.
        """
        path = self.target.partition("?")[0]
        return re.sub(r"\Ahttps?://[^/]*", "", path)

    @property
    def query(self) -> str:
        """
        The target behind the first question mark, undecoded.
        """
        return self.target.partition("?")[2]

    @property
    def operation(self) -> str:
        """
        `Family/method` or `Time`, as the path names it, known or not; empty for a path that has not that form.
        """
        match = _OPERATION_PATH.fullmatch(self.path)
        return match[1] if match else ""

    def find_header(self, name: str) -> str | None:
        """
        The first value under a lower-case name, or `None`.
        """
        return next((value for key, value in self.headers if key.lower() == name), None)


@dataclass(frozen=True, slots=True)
class Reply:
    """
    One reply and the manner of its going out. `padding` is a number of spaces that follow the body.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    padding: int = 0
    delay_seconds: float = 0.0
    declares_length: bool = True
    cut_at: int | None = None
    verbatim: bytes | None = None
    ending: Ending = Ending.KEEP


class RefusalError(Exception):
    """
    The answer no. `message` goes into the reply, `code` is negative or one of the lead codes 101 to 110.
    """

    def __init__(
        self, status: int, message: str, code: int = REFUSED, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers


def create_json_reply(value: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """
    A reply whose body is `value` as JSON.
    """
    return Reply(status=status, body=json.dumps(value).encode(), headers=headers)


def create_refusal_reply(refusal: RefusalError, operation: str) -> Reply:
    """
    A refusal in the envelope of the operation's family: lower case for three of them, capitals for the others.

    That of an expired hash pair is documented in capitals, and is not of a family: it comes before the operation.
    """
    if operation.startswith(_LOWER_CASE_FAMILIES) and refusal.code != EXPIRED:
        value: dict[str, Any] = {"code": refusal.code, "message": refusal.message}
    else:
        value = {"Code": refusal.code, "Message": refusal.message}
    return create_json_reply(value, refusal.status, refusal.headers)


def create_not_found_reply() -> Reply:
    """
    The page of a servlet container that has nothing at a path: 404 and HTML, as the vendor's Java client expects.
    """
    return Reply(status=404, body=_NOT_FOUND_PAGE, content_type="text/html;charset=utf-8")


def parse_parameters(request: Request) -> dict[str, str]:
    """
    The parameters of query and form body, decoded as UTF-8.

    Of a repeated name the first counts, the query before the body.
    """
    texts = [request.query]
    content_type = (request.find_header("content-type") or "").partition(";")[0].strip().lower()
    if content_type == _FORM:
        texts.append(request.body.decode("latin-1"))
    parameters: dict[str, str] = {}
    for pair in "&".join(texts).split("&"):
        name, _, value = pair.partition("=")
        if name:
            parameters.setdefault(unquote_plus(name), unquote_plus(value))
    return parameters


def render_reply_head(reply: Reply, *, closes: bool) -> bytes:
    """
    Status line and headers of a reply, up to and with the empty line.
    """
    lines = [f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, 'Status')}"]
    if reply.body:
        lines.append(f"Content-Type: {reply.content_type}")
    lines += [f"{name}: {value}" for name, value in reply.headers]
    if reply.declares_length:
        lines.append(f"Content-Length: {len(reply.body) + reply.padding}")
    if closes:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def render_now() -> str:
    """
    The present instant as RFC 3339 text in UTC with microseconds and `Z`.
    """
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
