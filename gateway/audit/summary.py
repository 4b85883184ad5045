"""
Refusals of requests without a valid token, counted instead of recorded one by one (contract section 7).

Anybody who reaches the door can cause them, so one record each would let a stranger fill the disk; one record a minute
and source network does not, the table of networks being bounded. Pure: told of each refusal, asked each minute. A crash
loses the counts since the last minute's end.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gateway.audit.event import Tag
from gateway.audit.network import OTHER_NETWORKS, find_network
from gateway.clock import render_instant

if TYPE_CHECKING:
    from datetime import datetime

    from gateway.audit.event import Event

__all__ = ["NETWORKS_LIMIT", "AnonymousSummary"]

NETWORKS_LIMIT = 256
"""Networks told apart within a minute: at most 257 records of some 300 bytes, 110 MB a day in the worst case."""


class AnonymousSummary:
    """
    Exact counts since the last `take`, by source network and reason code.

    Not safe for threads: it belongs to the event loop.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], Counter[str]] = {}

    def count(self, reason: str, peer: str, client: str | None = None) -> None:
        """
        One more request was refused.

        Args:
            reason: A reason code and so one of few.
            peer: The address it came from.
            client: The caller's own, where the peer is a trusted proxy that told it.
        """
        networks = find_network(peer), find_network(client) if client is not None else ""
        if networks not in self._counts and len(self._counts) >= NETWORKS_LIMIT:
            networks = OTHER_NETWORKS, ""
        self._counts.setdefault(networks, Counter())[reason] += 1

    def take(self, now: datetime) -> list[Event]:
        """
        An event `anonymous.summarised` for each network with all that was counted, which is forgotten then.

        Call it at each minute's end and before the journal is closed.
        """
        at = render_instant(now)
        counts, self._counts = self._counts, {}
        return [
            {
                "at": at,
                "tag": Tag.ANONYMOUS_SUMMARISED,
                "counts": dict(sorted(by_reason.items())),
                "peer": peer,
                "client": client or None,
            }
            for (peer, client), by_reason in sorted(counts.items())
        ]

    def __repr__(self) -> str:
        total = sum(sum(by_reason.values()) for by_reason in self._counts.values())
        return f"<AnonymousSummary {total} requests from {len(self._counts)} networks>"
