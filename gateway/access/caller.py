"""
A caller: the internal program that holds local tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.access.limits import Limits

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    from gateway.access.grant import Grant

__all__ = ["Caller"]


@dataclass(frozen=True, slots=True)
class Caller:
    """
    Who calls, from where, with which grants.

    Attributes:
        networks: Where it may call from; empty for anywhere.
        grants: The oldest first: of the grants that pass, the oldest serves.
        limits: How fast it may call, and how much at once.
    """

    name: str
    networks: tuple[IPv4Network | IPv6Network, ...]
    query_token_allowed: bool
    grants: tuple[Grant, ...]
    limits: Limits = field(default_factory=Limits)

    def allows_network(self, peer: IPv4Address | IPv6Address) -> bool:
        """
        Whether the caller may call from this address. Checked on every call, never cached (law 8).
        """
        for network in self.networks:  # a loop, because it is run for every call: `any` takes three times as long
            if peer in network:
                return True
        return not self.networks
