"""
What the supervisor tells a plane over its lifeline, a line each.
"""

from __future__ import annotations

__all__ = ["CONTROL_PLANE_DOWN", "CONTROL_PLANE_UP", "END", "LEAVE", "RECOVER", "RELOAD"]

CONTROL_PLANE_DOWN = "control plane down"
"""To the worker: it stands alone from now on (law 8)."""

CONTROL_PLANE_UP = "control plane up"
"""To the worker: it does no longer."""

LEAVE = "leave"
"""To a worker: another has taken its place. It serves who is connected, nobody new, and ends by itself."""

RECOVER = "recover"
"""To the worker: another worker has ended, however that was. What it left open is to be closed."""

RELOAD = "reload "
"""Before another assignment: what of it can change in a process that runs is to be in force from now on."""

END = "end"
"""The end of the lifeline that follows is an order; without this line it is the supervisor's death."""
