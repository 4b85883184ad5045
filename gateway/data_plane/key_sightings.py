"""
Noojee keys that were presented to us: one event a minute and network, so that nobody can fill the disk with them.

The event says that it happened, from where, and which credential it was if we hold it; never the text (law 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.audit.event import Tag
from gateway.audit.network import find_network

if TYPE_CHECKING:
    from gateway.audit.event import Event

__all__ = ["KeySightings"]

_INTERVAL_SECONDS = 60.0
_NETWORKS_LIMIT = 1024


class KeySightings:
    """
    Decides which sighting becomes an event.
    """

    def __init__(self) -> None:
        self._told_at: dict[str, float] = {}

    def notice(
        self, credential_name: str | None, carrier: str, peer: str, now: float, client: str | None = None
    ) -> Event | None:
        """
        The event to record, or None when one was recorded for this network within the last minute.

        Args:
            credential_name: The credential that holds the key; None where we hold no such key.
            now: Monotonic seconds.
            client: The caller's own address, where the peer is a trusted proxy that told it; its network counts then.
        """
        network = find_network(client or peer)
        told_at = self._told_at.get(network)
        if told_at is not None and now - told_at < _INTERVAL_SECONDS:
            return None
        if len(self._told_at) >= _NETWORKS_LIMIT:
            self._told_at = {each: at for each, at in self._told_at.items() if now - at < _INTERVAL_SECONDS}
            if len(self._told_at) >= _NETWORKS_LIMIT:
                return None  # a thousand networks a minute is a flood; the anonymous summary still counts each
        self._told_at[network] = now
        event: dict[str, object] = {"tag": Tag.UPSTREAM_KEY_PRESENTED, "carrier": carrier, "peer": peer}
        if client is not None:
            event["client"] = client
        if credential_name is not None:
            event["subject"] = credential_name
        return event
