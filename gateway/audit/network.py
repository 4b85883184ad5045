"""
Source networks, as the journal counts them: /24 for IPv4, /64 for IPv6 (contract section 7).

One host can have a whole /64 to itself, and a /24 is rarely more than one neighbourhood.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

__all__ = ["OTHER_NETWORKS", "find_network"]

OTHER_NETWORKS = "other"
"""In place of a network: those that did not find a place in a bounded table, or a peer without an address."""

_PREFIX_LENGTHS = {4: 24, 6: 64}


def find_network(peer: str) -> str:
    """
    The network of an address as a CIDR, whatever its zone; `other` when the peer was gone before its address was known.
    """
    if not peer:
        return OTHER_NETWORKS
    address = ip_address(peer)
    return str(ip_network((address, _PREFIX_LENGTHS[address.version]), strict=False))
