"""
How a node is, in one value: what both planes' health paths answer from.

The worker knows it; the control plane asks for it over the worker's socket, where it is one line of JSON.
"""

from __future__ import annotations

import json
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

    def render(self) -> bytes:
        """
        As one line; `parse` is its inverse.
        """
        return json.dumps({"state": self.state, "details": dict(self.details)}).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Readiness:
        """
        What `render` made.

        Raises:
            ValueError: It is not that, or not all of it.
        """
        found = json.loads(line)
        return cls(State(found["state"]), found["details"])
