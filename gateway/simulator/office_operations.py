"""
The operations that no page of the vendor's tells of, but its own client uses: rosters and the server's health.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.simulator.invocation import list_entities

if TYPE_CHECKING:
    from gateway.simulator.invocation import Invocation, Operations
    from gateway.simulator.messages import Reply

__all__ = ["OFFICE_OPERATIONS"]

_HEALTH = {
    "ioWait": 0.3,
    "loadAverage": 0.4,
    "cpuPercent": 7,
    "cores": 4,
    "memoryAvailableMB": 5120,
    "memoryTotalMB": 8192,
    "freeDiskSpacePercent": 61,
    "threadPoolUsagePercent": 5,
    "schedulerPoolUsagePercent": 2,
    "steal": 0.0,
    "dbPoolSize": 50,
    "dbPoolUsage": 3,
    "pingData": {"192.0.2.10": 12.5},
}
"""A machine at ease; the types are those of the vendor's Java class."""

_BACKUP_TIMES = ("backupStarting", "lastBackupAttempt", "lastBackupSuccess")


async def _list_rosters(call: Invocation) -> Reply:
    return list_entities(call.systems.rosters.list_team(call.get("teamName")))


async def _test_health(call: Invocation) -> Reply:
    del call
    midnight = datetime.now(UTC).strftime("%Y/%m/%d 00:00")
    return list_entities([_HEALTH | dict.fromkeys(_BACKUP_TIMES, midnight)])


OFFICE_OPERATIONS: Operations = {
    "/servicemanager/rest/rosterApi/getActiveRosters": _list_rosters,
    "/servicemanager/rest/systemHealth/test": _test_health,
}
"""By exact path. That client asks for both by GET."""
