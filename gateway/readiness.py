"""
How a node is, in one value: what both planes' health paths answer from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Readiness", "State"]


class State(StrEnum):
    """
    The one word of `/readyz`.
    """

    READY = "ready"
    """Calls are served."""

    DEGRADED = "degraded"
    """Calls are served; something beside them is not well. Still ready."""

    DRAINING = "draining"
    """The node is ending; new calls are refused."""

    UNREADY = "unready"
    """Calls are refused: the journal cannot be written, or the registry has not been read for too long."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """
    The state and what it was made of. Names no caller.

    Attributes:
        details: What the operators' port shows beside the word.
    """

    state: State
    details: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        """
        Whether calls are served.
        """
        return self.state in {State.READY, State.DEGRADED}
