"""
A gateway that is killed, and what its next start makes of it.
"""

from __future__ import annotations

import contextlib
import http.client
import threading
from typing import TYPE_CHECKING

from installation import API, Installation, wait_until

from gateway.evidence.verify import verify

if TYPE_CHECKING:
    from noojee import Noojee


def test_a_kill_between_intent_and_outcome_is_closed_as_unknown(installation: Installation, noojee: Noojee) -> None:
    """
    Kill -9 while Noojee is ringing somebody: the intent stands, the next start closes it once, nothing is sent again.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    noojee.break_next("CallManagementAPI/dial", "delay", 20)
    with installation.serve() as gateway:

        def dial() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):  # it will be killed
                gateway.call(f"{API}/dial?number=1&extenOrUniqueId=SIP/411", token)

        dialling = threading.Thread(target=dial)
        dialling.start()
        wait_until(noojee.requests, "the dial is at Noojee")
        gateway.kill()
        dialling.join()
    assert ["call.intended"] == [call["tag"] for call in installation.calls()]

    for _ in range(2):  # the second start finds nothing more to close
        with installation.serve():
            pass

    intended, ended = installation.calls()
    assert intended["request_id"] == ended["request_id"]
    assert ("unknown", "recovered") == (ended["outcome"], ended["reason"])
    assert 1 == len(noojee.requests())
    report = verify(installation.data_dir / "journal")
    assert report.ok


def test_a_verb_that_was_killed_is_closed_by_what_the_registry_says(installation: Installation) -> None:
    """
    An intended change that never reached the registry becomes `change.failed` at the next start.
    """
    from gateway.audit.event import Tag
    from gateway.audit.journal import Journal
    from gateway.clock import SystemClock

    with installation.desk() as desk:
        version = desk.read_snapshot().version
    journal = Journal.open(installation.data_dir / "journal", "admin", node="test", clock=SystemClock())
    journal.record_now(
        {
            "tag": Tag.CHANGE_INTENDED,
            "actor": "somebody",
            "subject": "crm",
            "change": {"tag": "caller.added"},
            "request_id": "00000000-0000-7000-8000-000000000000",
            "policy_version": version,
        }
    )
    journal.close()

    with installation.serve():
        pass

    last = installation.journal("admin")[-1]
    assert ("change.failed", "interrupted") == (last["tag"], last["reason"])


def test_a_second_gateway_on_the_same_folder_is_refused(installation: Installation) -> None:
    """
    Two could not both hold the record.
    """
    with installation.serve():
        second = installation.verb("serve", "--json")

    assert 1 == second.returncode
    assert "already_running" in second.stderr
    assert "" == second.stdout
