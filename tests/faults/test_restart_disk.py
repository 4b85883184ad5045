"""
A restart on a disk without room for a second reserve: better the worker that serves than one that would refuse.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from installation import API, Installation, wait_until

if TYPE_CHECKING:
    from small_disk import SmallDisk

START = f"{API}/start?extenOrUniqueId=410"
STOP = f"{API}/stop?extenOrUniqueId=410"


def test_a_new_worker_that_could_not_write_its_journal_leaves_the_old_one_serving(
    installation: Installation, journal_disk: SmallDisk
) -> None:
    """
    The old one holds its reserve and records calls in what is left of its last block; the new one is refused.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve() as gateway:
        old = gateway.worker_pid
        assert 200 == gateway.call(START, token).status
        journal_disk.fill(leaving_bytes=24 * 1024)

        refused = installation.verb("restart", "--json")

        assert 1 == refused.returncode
        error = json.loads(refused.stderr)["error"]
        assert "journal_unavailable" == error["reason"]
        assert [old] == gateway.worker_pids
        assert 200 == gateway.call(STOP, token).status
        journal_disk.empty()
        assert 0 == installation.verb("restart").returncode
        wait_until(lambda: gateway.worker_pids != [old], "another serves")
        assert 200 == gateway.call(START, token).status
