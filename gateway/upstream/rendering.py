"""
The head of an upstream request as bytes: the way to one upstream is rendered once, the rest with each call.

Law 4: the credential stands first in the query. Law 5: host, prefix and path come from the configuration and the
catalogue. Law 9: nothing is encoded, decoded or put in order here; what could end a line or the target is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from gateway import __version__

if TYPE_CHECKING:
    from gateway.access.upstream import Upstream
    from gateway.secret import Secret
    from gateway.upstream.request import UpstreamRequest

__all__ = ["API_KEY", "HeadForm", "render_api_key"]

_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-"
_VISIBLE = bytes(range(0x21, 0x7F))
API_KEY = b"apiKey="
"""What stands before a key in the query."""

_NO_BODY = b"Content-Length: 0\r\n\r\n"


class HeadForm:
    """
    What the heads of all requests to one upstream have in common.
    """

    __slots__ = ("_opening", "_rest")

    def __init__(self, upstream: Upstream) -> None:
        self._opening = b"POST " + upstream.prefix.encode("ascii")
        self._rest = (
            b" HTTP/1.1\r\nHost: "
            + upstream.host_header
            + b"\r\nUser-Agent: noojee-gateway/"
            + __version__.encode("ascii")
        ) + b"\r\nAccept-Encoding: identity\r\n"

    def render(self, request: UpstreamRequest, credential_query: bytes) -> bytes:
        """
        Request line and headers.

        Args:
            credential_query: What goes first in the query; empty for nothing.

        Raises:
            ValueError: What goes up could be read as more than one request; whoever decided on it has let it pass.
        """
        query = request.query
        if query.translate(None, _VISIBLE):
            raise ValueError("a query holds a character that ends the target")
        if credential_query:
            query = credential_query + b"&" + query if query else credential_query
        parts = [self._opening, request.operation.path, b"?", query, self._rest]
        if not query:
            del parts[2:4]
        for name, value in request.headers:
            if b"\n" in value or b"\r" in value:
                raise ValueError("a header holds a character that ends its line")
            parts += (name, b": ", value, b"\r\n")
        parts.append(b"Content-Length: %d\r\n\r\n" % len(request.body) if request.body else _NO_BODY)
        return b"".join(parts)


def render_api_key(key: Secret) -> bytes:
    """
    The key as Noojee wants to see it.
    """
    text = key.reveal()
    raw = text.encode()
    return API_KEY + (quote(text, safe="").encode("ascii") if raw.translate(None, _UNRESERVED) else raw)
