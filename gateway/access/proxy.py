"""
A corporate proxy as a value: what stands between us and an upstream and is asked, by CONNECT, to let us through.

It sees the upstream's host and port and bytes that it cannot read. Its password stays sealed (law 3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes, urlsplit

__all__ = ["Proxy", "parse_proxy"]

_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|[0-9a-f:.]+")
_USER_LIMIT = 128


@dataclass(frozen=True, slots=True)
class Proxy:
    """
    Where the proxy is, and as whom we come.

    Attributes:
        host: Host name or IP address, lower case, an IPv6 address without brackets.
        user: For Basic authentication (RFC 7617); None for a proxy that asks for none.
        sealed: The user's password under the master ring; None exactly where there is no user.
    """

    host: str
    port: int
    user: str | None = None
    sealed: bytes | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """
        `host:port`.
        """
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """
        As an operator writes it: `http://[USER@]HOST:PORT`, without the password.
        """
        return (
            f"http://{quote(self.user, safe='')}@{self.address}" if self.user is not None else f"http://{self.address}"
        )


def parse_proxy(url: str) -> Proxy:
    """
    `http://[USER@]HOST:PORT`, the user percent-encoded where need be, as a proxy without its password yet.

    Raises:
        ValueError: With a sentence that never quotes the URL, in which someone may have left the password.
    """
    if not url.isascii() or any(character <= " " or character == "\\" for character in url):
        raise ValueError(
            "the proxy's URL holds a space, a control character, a backslash (write %5C) or a character beyond ASCII"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError("the proxy's host or port is not well-formed") from error
    if parts.scheme != "http":
        raise ValueError("the proxy's URL must start with http://, as in http://proxy.example.com:3128")
    if parts.path not in {"", "/"} or "?" in url or "#" in url:
        raise ValueError("the proxy's URL must end with its port, as in http://proxy.example.com:3128")
    if parts.password is not None:
        raise ValueError("the proxy's password is given on standard input and never in the URL")
    host = (parts.hostname or "").rstrip(".")
    if not _HOST.fullmatch(host) or ("[" in parts.netloc) is not (":" in host):
        raise ValueError("the proxy's URL needs a host, as in http://proxy.example.com:3128")
    if not port:
        raise ValueError("the proxy's URL needs a port of 1-65535, as in http://proxy.example.com:3128")
    return Proxy(host, port, _parse_user(parts.username) if "@" in parts.netloc else None)


def _parse_user(text: str | None) -> str:
    try:
        user = unquote_to_bytes(text or "").decode()
    except UnicodeDecodeError:
        user = ""
    # RFC 7617 section 2: a user-id with a colon would end there.
    if not 1 <= len(user) <= _USER_LIMIT or not user.isprintable() or ":" in user:
        raise ValueError(f"the proxy's user is 1 to {_USER_LIMIT} printable characters without a colon")
    return user
