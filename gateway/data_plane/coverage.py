"""
What a caller's grants say of one operation, worked out once for each version of the registry.

Holds only what depends on nothing but the caller, the operation and the snapshot. What depends on the call (the token's
time, the source network, the parameters under a rule) is looked at on every call and never kept (law 8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.access.policy import name_operation, resolve
from gateway.errors import CallerError, Reason
from gateway.noojee.catalogue import Effect

if TYPE_CHECKING:
    from gateway.access.grant import Grant
    from gateway.access.policy import Decision
    from gateway.access.snapshot import Snapshot
    from gateway.data_plane.authentication import Standing
    from gateway.noojee.catalogue import Catalogue, Operation
    from gateway.upstream.request import Patience, Timeouts

__all__ = ["Coverage", "Coverages"]

_KEPT_LIMIT = 65_536
"""A thousand callers with all the catalogue's operations; beyond it all are forgotten and worked out anew."""


class Coverage(NamedTuple):
    """
    A caller's grants for an operation.

    Attributes:
        resolved: From `resolve`: the grants that may serve, or a denial.
        grant: The one that serves whatever the parameters are; None where a rule has a say, or nothing serves.
        patience: How long Noojee may take; None for a long poll, which says so itself.
    """

    operation: Operation
    resolved: Decision
    grant: Grant | None
    patience: Patience | None


class Coverages:
    """
    The coverages of one worker that were asked for in the snapshot in force.

    Args:
        catalogue: The operations there are.
        timeouts: How long Noojee may take.
    """

    def __init__(self, catalogue: Catalogue, timeouts: Timeouts) -> None:
        self._catalogue = catalogue
        self._timeouts = timeouts
        self._snapshot: Snapshot | None = None
        self._kept: dict[tuple[str, bytes], Coverage] = {}

    def find(self, standing: Standing, path: bytes) -> Coverage:
        """
        The coverage of the operation at exactly these bytes.

        Raises:
            CallerError: `operation_unknown`, for this caller. That is not kept: there are paths without end.
        """
        if standing.snapshot is not self._snapshot or len(self._kept) > _KEPT_LIMIT:
            self._kept.clear()
            self._snapshot = standing.snapshot
        key = (standing.caller.name, path)
        coverage = self._kept.get(key)
        if coverage is None:
            coverage = self._kept[key] = self._work_out(standing, path)
        return coverage

    def _work_out(self, standing: Standing, path: bytes) -> Coverage:
        operation = name_operation(self._catalogue, standing.caller, path)
        if operation is None:
            raise CallerError(Reason.OPERATION_UNKNOWN)
        resolved = resolve(standing.caller, operation)
        patience = None if operation.effect is Effect.LONG_POLL else self._timeouts.for_call(operation)
        return Coverage(operation, resolved, _find_unconditional(resolved.grants), patience)

    def __repr__(self) -> str:
        return f"<Coverages: {len(self._kept)} in {self._snapshot!r}>"


def _find_unconditional(grants: tuple[Grant, ...]) -> Grant | None:
    """
    The grant that `decide` comes to for any parameters at all: the oldest, when it has no rule and a key to send.
    """
    if grants and not grants[0].rules and grants[0].credential.is_available:
        return grants[0]
    return None
