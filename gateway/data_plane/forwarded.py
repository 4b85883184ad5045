"""
Whose call a trusted proxy passes on: the caller's address from one header, believed only when a trusted peer sent it.

Every proxy adds the address that it saw at the right, so the first from there that is none of our proxies' is the last
that somebody we trust has seen (RFC 7239 section 8.1). Where all are, it is the leftmost, as nginx has it: each of them
was told by one whom we trust. What stands left of it anybody may have written, and decides nothing; but a header that
cannot be read from end to end is refused, since two readers could find two addresses in it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, NoReturn

from gateway.errors import CallerError, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.data_plane.headers import Headers

__all__ = ["FORWARDED_HEADERS", "Forwarding"]

_ELEMENTS_LIMIT = 32
"""More proxies than that stand before nobody; a longer list is somebody's play."""

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110 section 5.6.2, the grammar's word
_PAIR = re.compile(rf'({_TOKEN})=(?:({_TOKEN})|"((?:[^"\\]|\\.)*)")')
_QUOTED_PAIR = re.compile(r"\\(.)")
_NODE = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9.]+))(?::[0-9]{1,5}|:_[A-Za-z0-9._-]+)?")
_HIDDEN = re.compile(r"(?:unknown|_[A-Za-z0-9._-]+)(?::[0-9]{1,5}|:_[A-Za-z0-9._-]+)?", re.IGNORECASE)
_PLAIN_V6 = re.compile(r"[0-9A-Fa-f:]+(?:\.[0-9.]+)?")


class Forwarding:
    """
    The proxies that are trusted, and the header that is read of theirs.

    Args:
        trusted: CIDRs; none trusts nobody, and then no header is ever looked at.
        header: One of `FORWARDED_HEADERS`.
    """

    def __init__(self, trusted: Sequence[str], header: str) -> None:
        self._networks = tuple(ip_network(each) for each in trusted)
        self._name = header.encode("ascii")
        self._parse = FORWARDED_HEADERS[header]
        self._trusts = lru_cache(maxsize=4096)(self._find_trust)

    def trusts(self, peer: str) -> bool:
        """
        Whether an address is one of our proxies'.
        """
        return bool(self._networks) and bool(peer) and self._trusts(peer)

    def find_client(self, peer: str, headers: Headers) -> str | None:
        """
        The address of whoever called our proxies; None where no trusted proxy says anything of it.

        Args:
            peer: The socket's.
            headers: Several of the same name are one list, in their order (RFC 9110 section 5.3).

        Raises:
            CallerError: `request_malformed`: the header cannot be read, or what it hides would have to be known.
        """
        if not self._networks or not self.trusts(peer):
            return None
        values = headers.find(self._name)
        if not values:
            return None
        nodes = self._parse(b",".join(values).decode("latin-1"))
        for node in reversed(nodes):
            if node is None:
                _refuse("hides the caller's address")
            if not self.trusts(node):
                return node
        return nodes[0]

    def _find_trust(self, peer: str) -> bool:
        address = ip_address(peer)
        return any(address in network for network in self._networks)

    def __repr__(self) -> str:
        return f"<Forwarding {self._name.decode()} of {len(self._networks)} networks>"


def _parse_x_forwarded_for(text: str) -> list[str | None]:
    items = text.split(",")
    if len(items) > _ELEMENTS_LIMIT:
        _refuse("is too long")
    return [_parse_node(item.strip(" \t")) for item in items]


def _parse_forwarded(text: str) -> list[str | None]:
    """
    RFC 7239 section 4: elements by comma, pairs by semicolon, values as tokens or quoted.
    """
    nodes: list[str | None] = []
    node: str | None = None
    names: set[str] = set()
    at = 0
    while True:
        at = _skip_blanks(text, at)
        pair = _PAIR.match(text, at)
        if pair is None or pair[1].lower() in names or len(nodes) >= _ELEMENTS_LIMIT:
            _refuse("cannot be read")
        names.add(pair[1].lower())
        if pair[1].lower() == "for":
            node = _parse_node(pair[2] if pair[2] is not None else _QUOTED_PAIR.sub(r"\1", pair[3]))
        at = _skip_blanks(text, pair.end())
        if text[at : at + 1] == ";":
            at += 1
            continue
        nodes.append(node)
        node, names = None, set()
        if at == len(text):
            return nodes
        if text[at] != ",":
            _refuse("cannot be read")
        at += 1


def _skip_blanks(text: str, at: int) -> int:
    while text[at : at + 1] in {" ", "\t"}:
        at += 1
    return at


def _parse_node(text: str) -> str | None:
    """
    An address, with or without a port; None for one that a proxy keeps to itself (RFC 7239 section 6).
    """
    found = _NODE.fullmatch(text)
    plain = found["v6"] or found["v4"] if found is not None else text if _PLAIN_V6.fullmatch(text) else None
    if plain is None:
        if _HIDDEN.fullmatch(text):
            return None
        _refuse("holds something that is no address")
    try:
        return _render(ip_address(plain))
    except ValueError:
        _refuse("holds something that is no address")


def _render(address: IPv4Address | IPv6Address) -> str:
    """
    As the socket's address is written: IPv4 that came mapped into IPv6 as IPv4.
    """
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _refuse(what: str) -> NoReturn:
    raise CallerError(
        Reason.REQUEST_MALFORMED,
        f"The header in which the proxy before the gateway names the caller {what}. The request was not forwarded.",
    )


FORWARDED_HEADERS: dict[str, Callable[[str], list[str | None]]] = {
    "forwarded": _parse_forwarded,
    "x-forwarded-for": _parse_x_forwarded_for,
}
"""The headers that can be configured -> how each is read: addresses from left to right, None for one that is hidden."""
