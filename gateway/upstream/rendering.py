"""
The head of an upstream request as bytes: the way to one upstream is rendered once, the rest with each call.

Law 4: the credential stands first in the query. Law 5: host, prefix and path come from the configuration and the
catalogue. Law 9: nothing is encoded, decoded or put in order here; what could end a line or the target is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from gateway import __version__

if TYPE_CHECKING:
    from gateway.access.upstream import Upstream
    from gateway.secret import Secret
    from gateway.upstream.request import UpstreamRequest

__all__ = ["HeadForm", "render_api_key"]

_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]+")
_QUERY = re.compile(rb"[!-~]*")


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
        if not _QUERY.fullmatch(query):
            raise ValueError("a query holds a character that ends the target")
        if credential_query:
            query = credential_query + b"&" + query if query else credential_query
        head = self._opening + request.operation.path
        if query:
            head += b"?" + query
        head += self._rest
        for name, value in request.headers:
            head += name + b": " + value + b"\r\n"
        if head.count(b"\n") != 4 + len(request.headers) or head.count(b"\r") != 4 + len(request.headers):
            raise ValueError("a header holds a character that ends its line")
        return b"%bContent-Length: %d\r\n\r\n" % (head, len(request.body))


def render_api_key(key: Secret) -> bytes:
    """
    The key as Noojee wants to see it.
    """
    text = key.reveal()
    return b"apiKey=" + (text if _UNRESERVED.fullmatch(text) else quote(text, safe="")).encode("ascii")
