"""
What the supervisor tells a plane over its lifeline, a line each.
"""

from __future__ import annotations

__all__ = ["CONTROL_PLANE_DOWN", "CONTROL_PLANE_UP", "END"]

CONTROL_PLANE_DOWN = "control plane down"
"""To the worker: it stands alone from now on (law 8)."""

CONTROL_PLANE_UP = "control plane up"
"""To the worker: it does no longer."""

END = "end"
"""The end of the lifeline that follows is an order; without this line it is the supervisor's death."""
