"""
What one simulated Noojee consists of behind its API.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.simulator.campaigns import Campaigns
from gateway.simulator.rosters import Rosters
from gateway.simulator.telephony import Telephony

if TYPE_CHECKING:
    from gateway.simulator.hash_pairs import HashPairs

__all__ = ["Systems"]


@dataclass(frozen=True, slots=True)
class Systems:
    """
    The systems that operations act on and that the control interface shows. `pairs` belongs to the key book as well.
    """

    pairs: HashPairs
    telephony: Telephony = field(default_factory=Telephony)
    campaigns: Campaigns = field(default_factory=Campaigns)
    rosters: Rosters = field(default_factory=Rosters)

    def reset(self) -> None:
        """
        Put calls, recordings, leads and rosters back to their beginning.
        """
        self.telephony.reset()
        self.campaigns.reset()
        self.rosters.reset()
