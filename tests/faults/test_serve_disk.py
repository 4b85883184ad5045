"""
A running gateway whose journal cannot be written: no record, no call, and back by itself.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from installation import API, CAMPAIGN_API, Gateway, Installation, Response, wait_until

from gateway.administration import callers, credentials
from gateway.administration.desk import open_admin_journal
from gateway.audit.event import Tag
from gateway.clock import SystemClock
from gateway.errors import OperatorError, OperatorReason, StorageError
from gateway.evidence.verify import verify

if TYPE_CHECKING:
    from noojee import Noojee
    from small_disk import SmallDisk

LIST = f"{CAMPAIGN_API}/getCampaignList?fTemplateId=1"
DIAL = f"{API}/dial?number=0412345678&extenOrUniqueId=SIP/411"
RECOVERY_SECONDS = 5.0
"""The journal probes once a second; the rest is for a busy machine."""


class Dialling(threading.Thread):
    """
    A call that Noojee takes two seconds for, begun and at Noojee when this returns from `begin`.
    """

    def __init__(self, gateway: Gateway, token: str) -> None:
        super().__init__()
        self._gateway = gateway
        self._token = token
        self.response: Response | None = None

    @classmethod
    def begin(cls, gateway: Gateway, token: str, noojee: Noojee) -> Dialling:
        """
        Dial, and wait until it is at Noojee.
        """
        noojee.break_next("CallManagementAPI/dial", "delay", 2)
        dialling = cls(gateway, token)
        dialling.start()
        wait_until(lambda: any("/dial?" in target for target in noojee.targets()), "the dial is at Noojee")
        return dialling

    def run(self) -> None:
        """
        The call.
        """
        with contextlib.suppress(OSError):  # the gateway may be killed meanwhile
            self.response = self._gateway.call(DIAL, self._token)

    def finish(self) -> Response:
        """
        What it got.
        """
        self.join(20)
        assert self.response is not None
        return self.response


def call_until_refused(gateway: Gateway, token: str) -> Response:
    """
    The first refusal: what is left of the journal's last block still takes a few records.
    """

    def find_refusal() -> Response | None:
        response = gateway.call(LIST, token)
        return response if response.status == 503 else None

    refusal: Response = wait_until(find_refusal, "a call is refused")
    return refusal


def expect_no_service(gateway: Gateway, token: str, noojee: Noojee) -> None:
    """
    Every authenticated request gets 503, whatever else is wrong with it; nobody else learns of it; nothing is sent.
    """
    before = len(noojee.requests())
    for target, method in ((LIST, "POST"), (DIAL, "POST"), ("/nowhere", "POST"), (LIST, "GET")):
        response = gateway.call(target, token, method=method)
        assert (503, "audit_unavailable") == (response.status, response.reason)
        assert response.headers["retry-after"]
        assert "Nothing was sent." in response.json()["detail"]
    assert (401, "token_missing") == answer_of(gateway.call(LIST))
    assert (401, "token_malformed") == answer_of(gateway.call(LIST, "njg_x"))
    assert (400, "request_malformed") == answer_of(gateway.call(f"{LIST};x", token))
    assert (405, "method_not_allowed") == answer_of(gateway.call(LIST, token, method="PUT"))
    for port in (gateway.port, gateway.admin_port):
        assert 503 == gateway.call("/readyz", method="GET", port=port).status
        assert 200 == gateway.call("/healthz", method="GET", port=port).status
    assert before == len(noojee.requests())


def answer_of(response: Response) -> tuple[int, str]:
    """
    A refusal's status and reason.
    """
    return response.status, response.reason


def wait_until_ready(gateway: Gateway) -> None:
    """
    It becomes good again by itself: nobody calls meanwhile.
    """
    wait_until(
        lambda: gateway.call("/readyz", method="GET").status == 200, "the gateway is ready again", RECOVERY_SECONDS
    )


def records_of(installation: Installation, response: Response) -> list[dict[str, Any]]:
    """
    What stands on record of the call with this response.
    """
    return installation.calls(response.headers["x-request-id"])


def expect_whole_journal(installation: Installation) -> None:
    """
    The chain holds, and every call that was intended has an outcome.
    """
    report = verify(installation.data_dir / "journal")
    told = installation.verb("audit", "verify", "--json")
    calls = installation.calls()
    intended = {record["request_id"] for record in calls if record["tag"] == "call.intended"}
    ended = [record["request_id"] for record in calls if record["tag"] == "call.ended"]

    assert report.ok
    assert report.first_bad is None
    assert 0 == told.returncode, told.stdout
    assert json.loads(told.stdout)["ok"]
    assert sorted(intended) == sorted(ended)


def test_a_full_disk_stops_new_calls_before_outcomes_no_longer_fit(
    installation: Installation, noojee: Noojee, journal_disk: SmallDisk
) -> None:
    """
    The running call's caller gets its answer, and the outcome is on record at once, in the reserve.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve() as gateway:
        assert 200 == gateway.call(LIST, token).status
        dialling = Dialling.begin(gateway, token, noojee)
        journal_disk.fill()
        refusal = call_until_refused(gateway, token)
        assert "audit_unavailable" == refusal.reason
        expect_no_service(gateway, token, noojee)

        dialled = dialling.finish()
        assert 200 == dialled.status
        assert 503 == gateway.call("/readyz", method="GET").status
        wait_until(lambda: len(records_of(installation, dialled)) == 2, "the outcome is on record", 1)
        assert "succeeded" == records_of(installation, dialled)[-1]["outcome"]
        assert [] == records_of(installation, refusal)
        sent = len(noojee.requests())

        journal_disk.empty()
        wait_until_ready(gateway)
        assert sent == len(noojee.requests())
        assert 200 == gateway.call(LIST, token).status
    (resumed,) = [record for record in installation.journal() if record["tag"] == "journal.resumed"]
    assert "disk_full" == resumed["reason"]
    assert resumed["counts"]["refused"] >= 1
    assert "calls are refused until it can" in installation.log()
    expect_whole_journal(installation)


def test_a_gateway_starts_on_a_full_disk_and_refuses_calls_until_there_is_room(
    installation: Installation, noojee: Noojee, journal_disk: SmallDisk
) -> None:
    """
    Killed with a call under way: the reserve outlived it, so the next start closes the call, and says it is not ready.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve() as gateway:
        assert 200 == gateway.call(LIST, token).status
        noojee.break_next("CallManagementAPI/dial", "delay", 2)
        dialling = Dialling.begin(gateway, token, noojee)
        journal_disk.fill()
        gateway.kill()
        dialling.join(20)
    with installation.serve() as gateway:
        call_until_refused(gateway, token)
        expect_no_service(gateway, token, noojee)
        assert ["unknown"] == [record["outcome"] for record in installation.calls() if record.get("reason")]
        journal_disk.empty()
        wait_until_ready(gateway)
        assert 200 == gateway.call(LIST, token).status
    expect_whole_journal(installation)


def test_a_reserve_that_does_not_fit_refuses_calls_until_it_does(
    installation: Installation, noojee: Noojee, journal_disk: SmallDisk
) -> None:
    """
    Most of the disk is taken by others when the gateway starts. One that can never fit is an error at the start.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    journal_disk.fill(leaving_bytes=64 * 1024)
    with installation.serve() as gateway:
        wait_until(lambda: gateway.call("/readyz", method="GET").status == 503, "it says that it is not ready")
        expect_no_service(gateway, token, noojee)
        assert "full but for the reserve of 64KiB" in installation.log()
        journal_disk.empty()
        wait_until_ready(gateway)
        assert 200 == gateway.call(LIST, token).status
    installation.environment["GATEWAY_JOURNAL_RESERVE"] = "1MiB"

    refused = installation.verb("serve", "--json")

    assert 1 == refused.returncode
    assert "is more than the journal's disk has at all" in refused.stderr
    expect_whole_journal(installation)


def test_a_token_is_revoked_on_a_full_disk_and_on_record_at_once(
    installation: Installation, journal_disk: SmallDisk
) -> None:
    """
    Ending access has the operators' reserve; giving access does not, and leaves it alone.
    """
    tokens = [installation.add_caller(name, [("everything", ["*"])]) for name in ("crm", "stolen")]
    token_id = tokens[1].split("_")[1]
    with installation.serve() as gateway:
        assert 200 == gateway.call(LIST, tokens[1]).status
        journal_disk.fill()
        use_up_last_block(installation)

        revoked = installation.verb("token", "revoke", token_id, "--json")
        issued = installation.verb("token", "issue", "crm", "--json")

        assert 0 == revoked.returncode, revoked.stderr
        assert (401, "token_invalid") == answer_of(gateway.call(LIST, tokens[1]))
        assert (1, "") == (issued.returncode, issued.stdout)
        assert "othing was changed" in issued.stderr
        assert ["change.intended", "token.revoked"] == [each["tag"] for each in installation.journal("admin")[-2:]]
        with installation.desk() as desk:
            callers.disable(desk, "stolen")
            credentials.remove(desk, "campaigns")
            journal_disk.empty()
            callers.add(desk, "another", networks=(), query_token_allowed=True)
    expect_whole_journal(installation)


def test_a_token_is_revoked_when_even_the_reserve_is_used_up_and_recorded_later(
    installation: Installation, journal_disk: SmallDisk
) -> None:
    """
    Ending access works and says what is missing; giving access does not.
    """
    tokens = [installation.add_caller(name, [("everything", ["*"])]) for name in ("crm", "stolen")]
    token_id = tokens[1].split("_")[1]
    with installation.serve() as gateway:
        assert 200 == gateway.call(LIST, tokens[1]).status
        journal_disk.fill()
        call_until_refused(gateway, tokens[0])
        use_up_reserve(installation)

        revoked = installation.verb("token", "revoke", token_id, "--json")
        issued = installation.verb("token", "issue", "crm", "--json")

        assert (401, "token_invalid") == answer_of(gateway.call(LIST, tokens[1]))
        assert (503, "audit_unavailable") == answer_of(gateway.call(LIST, tokens[0]))
        assert (1, "") == (revoked.returncode, revoked.stdout)
        error = json.loads(revoked.stderr)["error"]
        assert "journal_unavailable" == error["reason"]
        assert "not on record yet" in error["detail"]
        assert (1, "") == (issued.returncode, issued.stdout)
        assert "othing was changed" in issued.stderr
        journal_disk.empty()
        wait_until_ready(gateway)
        assert 0 == installation.verb("caller", "add", "another").returncode
        assert 200 == gateway.call(LIST, tokens[0]).status
    assert [token_id] == [
        record["subject"] for record in installation.journal("admin") if record["tag"] == "token.revoked"
    ]
    expect_whole_journal(installation)


def use_up_last_block(installation: Installation) -> None:
    """
    Change things until the operators' stream takes no more than what ends access.
    """
    with installation.desk() as desk:
        for number in range(100):
            try:
                callers.add(desk, f"caller-{number}", networks=(), query_token_allowed=True)
            except OperatorError as error:
                assert OperatorReason.JOURNAL_UNAVAILABLE is error.reason  # noqa: PT017 - the last of many is expected
                return
    raise AssertionError("the disk is not full")


def use_up_reserve(installation: Installation) -> None:
    """
    Write what may use the reserve, until the operators' stream takes nothing at all.
    """
    journal = open_admin_journal(installation.data_dir, node="test", clock=SystemClock())
    event = {"tag": Tag.CHANGE_FAILED, "subject": "x" * 200}
    with pytest.raises(StorageError, match="No space left on device"):
        journal.record_now(*[event] * 1000, may_use_reserve=True)
    journal.close()


def test_a_disk_that_turned_read_only_stops_new_calls(
    installation: Installation, noojee: Noojee, journal_disk: SmallDisk
) -> None:
    """
    The same refusals, and good again by itself once it may be written.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve() as gateway:
        assert 200 == gateway.call(LIST, token).status
        limit_file_size(gateway, 0)  # a file open for writing keeps a disk from being remounted; a failed one is closed
        call_until_refused(gateway, token)
        journal_disk.remount("ro")
        limit_file_size(gateway, resource.RLIM_INFINITY)
        until = time.monotonic() + 1.5  # longer than from one probe to the next
        while time.monotonic() < until:
            expect_no_service(gateway, token, noojee)
        issued = installation.verb("token", "issue", "crm")
        assert (1, "") == (issued.returncode, issued.stdout)
        assert "othing was changed" in issued.stderr

        journal_disk.remount("rw")
        wait_until_ready(gateway)
        assert 200 == gateway.call(LIST, token).status
    (resumed,) = [record for record in installation.journal() if record["tag"] == "journal.resumed"]
    assert "read_only" == resumed["reason"]
    expect_whole_journal(installation)


def limit_file_size(gateway: Gateway, size_bytes: int) -> None:
    """
    Let the gateway lengthen no file beyond this: a full disk for those who may not mount one.
    """
    _, hard = resource.prlimit(gateway.worker_pid, resource.RLIMIT_FSIZE)
    resource.prlimit(gateway.worker_pid, resource.RLIMIT_FSIZE, (size_bytes, hard))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits a running process")
def test_an_outcome_that_never_reaches_the_disk_is_unknown_to_the_next_start(
    installation: Installation, noojee: Noojee
) -> None:
    """
    Stopped while nothing can be written: the caller has its answer, the record says what can be proven.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve() as gateway:
        assert 200 == gateway.call(LIST, token).status
        dialling = Dialling.begin(gateway, token, noojee)
        limit_file_size(gateway, 0)
        assert "audit_unavailable" == call_until_refused(gateway, token).reason
        expect_no_service(gateway, token, noojee)
        limit_file_size(gateway, resource.RLIM_INFINITY)
        wait_until_ready(gateway)
        assert 200 == gateway.call(LIST, token).status

        limit_file_size(gateway, 0)
        assert "audit_unavailable" == call_until_refused(gateway, token).reason
        dialled = dialling.finish()
        assert 200 == dialled.status
        gateway.process.terminate()
        assert 0 == gateway.process.wait(20)
    assert ["call.intended"] == [record["tag"] for record in records_of(installation, dialled)]

    with installation.serve():
        pass

    last = records_of(installation, dialled)[-1]
    assert ("unknown", "recovered") == (last["outcome"], last["reason"])
    expect_whole_journal(installation)
