"""
An upstream as a value: the one Noojee that a credential belongs to (law 5: fixed by configuration, https only).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from gateway.access.proxy import Proxy

__all__ = ["AuthMethod", "Upstream", "parse_url"]

# RFC 3986 unreserved characters and `/`: what a prefix of Noojee's paths can hold without needing an escape.
_URL_LIMIT = 1024
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|[0-9a-f:.]+")


class AuthMethod(StrEnum):
    """
    How the upstream wants to see the key.
    """

    API_KEY = "api-key"
    HASH = "hash"


@dataclass(frozen=True, slots=True)
class Upstream:
    """
    Where calls go.

    Attributes:
        host: Host name or IP address, lower case, an IPv6 address without brackets.
        prefix: What stands before Noojee's own paths, empty or starting with `/` and not ending in it.
        ca_pem: Certificates to trust instead of the system's store, PEM text; None for the system's store.
        proxy: Through which it is reached; None for directly.
        pins: Of which its certificate's key must have one, when there are any.
        allow_old_tls: Whether TLS before 1.2 and weak signatures are taken; without a pin it means nothing.
    """

    name: str
    host: str
    port: int
    prefix: str = ""
    auth: AuthMethod = AuthMethod.API_KEY
    ca_pem: str | None = None
    proxy: Proxy | None = None
    pins: tuple[str, ...] = ()
    allow_old_tls: bool = False

    @property
    def origin(self) -> str:
        """
        `https://host:port`, the port always written: what a sealed key is bound to.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}"

    @property
    def url(self) -> str:
        """
        Origin and prefix, without the port where it is 443.
        """
        return self.origin.removesuffix(":443") + self.prefix

    @property
    def host_header(self) -> bytes:
        """
        The Host that goes up: RFC 9112 section 3.2, without the port where it is the scheme's own.
        """
        return self.origin.removeprefix("https://").removesuffix(":443").encode("ascii")


def parse_url(url: str) -> tuple[str, int, str]:
    """
    `https://HOST[:PORT][/PREFIX]` -> (host, port, prefix).

    Raises:
        ValueError: With a sentence, for any other scheme, userinfo, query, fragment, characters outside a plain URL, or
            more of them than a request line has room for.
    """
    if len(url) > _URL_LIMIT:
        raise ValueError(f"the URL has more than {_URL_LIMIT} characters")
    if not url.isascii() or any(character <= " " or character == "\\" for character in url):
        raise ValueError("the URL holds a space, a control character, a backslash or a character beyond ASCII")
    if "?" in url or "#" in url:
        raise ValueError("the URL must have no query and no fragment; the key is entered as a credential")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError("the URL's host or port is not well-formed") from error
    if parts.scheme != "https":
        raise ValueError("the URL must start with https://; a key is never sent in plain text")
    if "@" in parts.netloc:
        raise ValueError("the URL must hold no user name or password")
    host = (parts.hostname or "").rstrip(".")
    if not _HOST.fullmatch(host) or ("[" in parts.netloc) is not (":" in host):
        raise ValueError("the URL needs a host, as in https://noojee.example.com")
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError("the URL's port must be 1-65535")
    prefix = parts.path.rstrip("/")
    if not _PREFIX.fullmatch(prefix) or any(piece in {".", ".."} for piece in prefix.split("/")):
        raise ValueError("the URL's path must be plain, as in /contact")
    return host, port or 443, prefix
