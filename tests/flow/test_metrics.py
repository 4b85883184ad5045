"""
What operators see in numbers: exact, compared with the journal, and told whatever becomes of a worker.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from installation import API, CAMPAIGN_API, wait_until
from raw_call import read_response, send_raw
from scrape import scrape

from gateway import __version__
from gateway.access.token import create_token_text
from gateway.administration import tokens as token_verbs
from gateway.errors import Reason

if TYPE_CHECKING:
    from installation import Gateway, Installation
    from noojee import Noojee

START = f"{API}/start?extenOrUniqueId=410"
STOP = f"{API}/stop?extenOrUniqueId=410"
DIAL = f"{API}/dial?number=0412345678&extenOrUniqueId=SIP/410"
LIST = f"{CAMPAIGN_API}/getCampaignList?fTemplateId=1"
POLL = f"{API}/subscribe?exten=499&lastSequenceNumber=0&timeOut=1"
BY_PATH = "/servicemanager/rest/MarkedAPI/markedMethod"


@pytest.fixture
def tokens(installation: Installation) -> dict[str, str]:
    """
    Callers whose names would be found anywhere.
    """
    return {
        "all": installation.add_caller("marked-caller", [("everything", ["*", BY_PATH])]),
        "idle": installation.add_caller("marked-idler", []),
    }


def call_in_every_way(gateway: Gateway, noojee: Noojee, tokens: dict[str, str]) -> None:
    """
    Calls that are forwarded and come to each end, a poll among them, and one that was granted by its path.
    """
    everybody = tokens["all"]
    for _ in range(3):
        assert 200 == gateway.call(LIST, everybody).status
    noojee.break_next("CallManagementAPI/stop", "status", 404)
    assert 404 == gateway.call(STOP, everybody).status
    noojee.break_next("CallManagementAPI/stop", "status", 500, times=2)
    for _ in range(2):
        assert 500 == gateway.call(STOP, everybody).status
    noojee.break_next("CallManagementAPI/dial", "reset_after")
    assert 502 == gateway.call(DIAL, everybody).status
    assert 200 == gateway.call(POLL, everybody).status
    assert 404 == gateway.call(BY_PATH, everybody).status


def be_refused_in_every_way(gateway: Gateway, tokens: dict[str, str]) -> None:
    """
    As a known caller, as a stranger, and by the door.
    """
    everybody = tokens["all"]
    for _ in range(4):
        assert 403 == gateway.call(DIAL, tokens["idle"]).status
    assert 404 == gateway.call("/nowhere", everybody).status
    assert 405 == gateway.call(START, everybody, method="GET").status
    assert 400 == gateway.call(f"{START}&x=1&x=2", everybody).status
    for _ in range(5):
        assert 401 == gateway.call(START).status
    for _ in range(2):
        assert 401 == gateway.call(START, create_token_text()[1].reveal()).status
    assert 405 == gateway.call(START, method="PUT").status
    nonsense = send_raw(gateway.port, b"nonsense\r\n\r\n")
    assert nonsense is not None
    assert 400 == nonsense.status
    assert 200 == gateway.call("/readyz", method="GET").status  # is no call


def count_in_journal(installation: Installation) -> dict[tuple[str, ...], float]:
    """
    Calls by operation and end, as the journal has them.
    """
    found: Counter[tuple[str, ...]] = Counter()
    for record in installation.calls():
        if record["tag"] != "call.intended":
            operation = str(record.get("operation", "none"))
            found["path" if operation.startswith("/") else operation, str(record.get("outcome", "denied"))] += 1
    return {key: float(count) for key, count in found.items()}


def test_calls_and_refusals_are_counted_exactly(
    installation: Installation, noojee: Noojee, tokens: dict[str, str]
) -> None:
    """
    Each call once under its operation and end, as the journal says; each refusal once under its reason.
    """
    with installation.serve() as gateway:
        call_in_every_way(gateway, noojee, tokens)
        be_refused_in_every_way(gateway, tokens)
        seen = scrape(gateway)

    calls = seen.by("calls_total", "operation", "outcome")
    assert {
        ("CampaignAPI/getCampaignList", "succeeded"): 3,
        ("CallManagementAPI/start", "denied"): 1,
        ("CallManagementAPI/stop", "refused"): 1,
        ("CallManagementAPI/stop", "failed"): 2,
        ("CallManagementAPI/dial", "unknown"): 1,
        ("CallManagementAPI/dial", "denied"): 4,
        ("CallManagementAPI/subscribe", "succeeded"): 1,
        ("path", "refused"): 1,
        ("none", "denied"): 2,
    } == calls
    assert count_in_journal(installation) == calls
    assert {
        ("operation_not_granted",): 4,
        ("operation_unknown",): 1,
        ("method_not_allowed",): 2,
        ("parameter_repeated",): 1,
        ("token_missing",): 5,
        ("token_invalid",): 2,
        ("request_malformed",): 1,
    } == seen.by("refusals_total", "reason")
    assert {("upstream_broke",): 1} == seen.by("call_errors_total", "reason")
    assert {"worker-0"} == {labels["worker"] for _, labels, _ in seen.samples if "worker" in labels}


def test_what_could_happen_is_told_before_it_does(gateway: Gateway) -> None:
    """
    Every reason is there from the start, or Prometheus could not see the first time as a growth.
    """
    seen = scrape(gateway)

    told = {labels["reason"]: value for name, labels, value in seen.samples if name.endswith("_refusals_total")}
    assert dict.fromkeys([*(reason.code for reason in Reason), "caller_left"], 0) == told
    assert len(Reason) == len(seen.find("call_errors_total"))
    assert [0] * 5 == seen.find("journal_failures_total")


def test_times_are_told_apart_by_whose_they_are(
    installation: Installation, noojee: Noojee, tokens: dict[str, str]
) -> None:
    """
    What Noojee took is Noojee's, a poll stands apart, and each forwarded call is in both histograms once.
    """
    with installation.serve() as gateway:
        noojee.break_next("CallManagementAPI/dial", "delay", 0.3)
        assert 200 == gateway.call(DIAL, tokens["all"]).status
        assert 200 == gateway.call(POLL, tokens["all"]).status
        assert 403 == gateway.call(DIAL, tokens["idle"]).status
        seen = scrape(gateway)

    assert {("dials",): 1, ("long-poll",): 1} == seen.by("call_own_seconds_count", "effect")
    assert {("noojee", "dials"): 1, ("noojee", "long-poll"): 1} == seen.by(
        "call_upstream_seconds_count", "upstream", "effect"
    )
    assert 0.3 <= seen.total("call_upstream_seconds_sum", effect="dials")
    assert 1.0 <= seen.total("call_upstream_seconds_sum", effect="long-poll")
    assert 0 < seen.total("call_own_seconds_sum", effect="dials") < 0.3
    assert 0 < seen.total("call_own_seconds_sum", effect="long-poll") < 1.0


def test_a_slow_callers_body_is_nobodys_time(installation: Installation, tokens: dict[str, str]) -> None:
    """
    The gateway waits for it, and takes no time of its own.
    """
    head = f"POST {START} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tokens['all']}\r\n"
    head += "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 5\r\n\r\ntag"
    with (
        installation.serve() as gateway,
        socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection,
    ):
        connection.sendall(head.encode())
        wait_until(lambda: scrape(gateway).total("running_calls"), "the call waits for its body")
        since = time.monotonic()
        wait_until(lambda: time.monotonic() > since + 0.5, "half a second has passed")
        connection.sendall(b"=1")
        response = read_response(connection)
        seen = scrape(gateway)

    assert response is not None
    assert 200 == response.status
    assert 1 == seen.total("call_own_seconds_count")
    assert seen.total("call_own_seconds_sum") < 0.5


def test_a_call_under_way_is_seen_under_way(installation: Installation, noojee: Noojee, tokens: dict[str, str]) -> None:
    """
    An open intent, a running call, a connection to Noojee and one of the caller's; afterwards none, but for the idle.
    """
    noojee.break_next("CallManagementAPI/dial", "delay", 2)
    with installation.serve() as gateway:
        calling = threading.Thread(target=gateway.call, args=(DIAL, tokens["all"]))
        calling.start()
        wait_until(noojee.targets, "the dial is at Noojee")
        during = scrape(gateway)
        calling.join()
        after = wait_until(
            lambda: found if (found := scrape(gateway)).total("connections") == 0 else None, "the caller has left"
        )

    assert 1 == during.total("open_intents")
    assert {("call",): 1} == during.by("running_calls", "kind")
    assert {("noojee", "calls", "busy"): 1} == during.by("upstream_connections", "upstream", "pool", "state")
    assert 1 == during.total("connections")
    assert {} == after.by("running_calls", "kind")
    assert {("noojee", "calls", "idle"): 1} == after.by("upstream_connections", "upstream", "pool", "state")
    assert {("noojee", "calls"): 1} == after.by("upstream_connections_opened_total", "upstream", "pool")
    assert (0, 1) == (after.total("open_intents"), after.total("connections_accepted_total"))


def test_the_journal_and_the_registry_are_told(installation: Installation, tokens: dict[str, str]) -> None:
    """
    As many records as stand on disk, the snapshot's version and age, tokens that expire soon.
    """
    with installation.desk() as desk:
        for days in (29, 31):
            token_verbs.issue(desk, "marked-caller", expires_in=timedelta(days=days))
    with installation.serve(GATEWAY_SNAPSHOT_MAX_AGE="1h") as gateway:
        assert 200 == gateway.call(START, tokens["all"]).status
        wait_until(lambda: len(installation.calls()) == 2, "the outcome is on disk")
        seen = scrape(gateway)
        records = len(installation.journal())

    assert records == seen.total("journal_group_records_sum")
    assert 1 == seen.total("journal_writable")
    assert seen.total("journal_group_records_count") == seen.total("journal_write_seconds_count")
    assert 262144 == seen.total("journal_reserve_bytes")
    assert (4, 1) == (seen.total("tokens"), seen.total("tokens_expiring"))
    assert 3600 == seen.total("snapshot_age_limit_seconds")
    assert 0 <= seen.total("snapshot_age_seconds") < 10
    assert 1 == seen.total("registry_readable")
    assert 0 < seen.total("journal_disk_free_bytes") < seen.total("journal_disk_size_bytes")


def test_nobody_and_nothing_of_a_request_is_named(
    installation: Installation, noojee: Noojee, tokens: dict[str, str]
) -> None:
    """
    No caller, no path that was granted or asked for, no token id (contract section 6).
    """
    with installation.serve() as gateway:
        call_in_every_way(gateway, noojee, tokens)
        be_refused_in_every_way(gateway, tokens)
        text = scrape(gateway).text

    ids = [token.split("_")[1] for token in tokens.values()]
    named = "\n".join(line.rpartition(" ")[0] for line in text.splitlines())  # without the numbers, which may be any
    assert [] == [word for word in ("marked", "Marked", "nowhere", "410", *ids) if word in named]


def test_a_worker_that_stands_still_is_told_as_such(gateway: Gateway) -> None:
    """
    What the control plane knows by itself is told all the same.
    """
    os.kill(gateway.worker_pid, signal.SIGSTOP)
    try:
        without = scrape(gateway)
    finally:
        os.kill(gateway.worker_pid, signal.SIGCONT)
    seen = wait_until(lambda: found if (found := scrape(gateway)).total("up") else None, "the worker answers again")

    assert (0, 0) == (without.total("up"), without.total("workers"))
    assert [] == without.find("worker_ready")
    assert [1.0] == without.find("build_info", version=__version__)
    assert {("control_plane",)} == without.by("process_start_time_seconds", "process").keys()
    assert 0 < without.total("journal_disk_free_bytes")
    assert (1, 1, 1) == (seen.total("up"), seen.total("workers"), seen.total("worker_ready"))


def test_a_worker_that_was_replaced_is_another_process(
    installation: Installation, noojee: Noojee, tokens: dict[str, str]
) -> None:
    """
    Killed with a call under way: its successor began later, counts from 0, and tells what it closed.
    """
    with installation.serve() as gateway:
        assert 200 == gateway.call(START, tokens["all"]).status
        before = scrape(gateway)
        noojee.break_next("CallManagementAPI/dial", "delay", 5)
        calling = threading.Thread(target=_call_in_vain, args=(gateway, tokens["all"]))
        calling.start()
        wait_until(lambda: any("dial" in target for target in noojee.targets()), "the dial is at Noojee")
        os.kill(gateway.worker_pid, signal.SIGKILL)
        after = wait_until(lambda: found if (found := scrape(gateway)).total("up") else None, "another worker serves")
        calling.join()

    start = "process_start_time_seconds"
    assert before.find(start, process="worker-0") < after.find(start, process="worker-0")
    assert before.find(start, process="control_plane") == after.find(start, process="control_plane")
    assert (3, 0) == (before.total("connections_accepted_total") + 2, after.total("calls_total"))
    assert 1 == after.total("recovered_intents_total")


def test_two_workers_are_told_while_one_takes_over(
    installation: Installation, noojee: Noojee, tokens: dict[str, str]
) -> None:
    """
    The old one with what it still does, the new one from 0; what both have counted adds up to all calls.
    """
    noojee.break_next("CallManagementAPI/dial", "delay", 8)
    with installation.serve() as gateway:
        assert 200 == gateway.call(LIST, tokens["all"]).status
        calling = threading.Thread(target=gateway.call, args=(DIAL, tokens["all"]))
        calling.start()
        wait_until(lambda: any("dial" in target for target in noojee.targets()), "the dial is at Noojee")
        assert 0 == installation.verb("restart").returncode
        assert 200 == gateway.call(LIST, tokens["all"]).status
        during = scrape(gateway)
        calling.join()
        after = wait_until(
            lambda: found if (found := scrape(gateway)).total("workers") == 1 else None, "the old one has ended"
        )

    assert (1, 2) == (during.total("up"), during.total("workers"))
    assert {("worker-0",): 1} == during.by("worker_draining", "worker")
    assert {("worker-0",): 1} == during.by("running_calls", "worker")
    assert {("worker-0",): 1, ("worker-1",): 1} == during.by("calls_total", "worker")
    assert {("worker-1",): 1} == after.by("calls_total", "worker")
    assert (1, 0) == (after.total("up"), after.total("worker_draining"))
    assert after.find("process_start_time_seconds", process="worker-1")
    assert not after.find("process_start_time_seconds", process="worker-0")


def _call_in_vain(gateway: Gateway, token: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - whichever way it is cut
        gateway.call(DIAL, token)


def test_the_operators_port_shows_metrics_to_whoever_asks_it_by_its_name(gateway: Gateway) -> None:
    """
    GET alone, and not under a name that somebody else's page has made up.
    """
    port = gateway.admin_port

    assert 405 == gateway.call("/metrics", port=port).status
    assert 400 == gateway.call("/metrics", method="GET", port=port, headers={"Host": "evil.example"}).status
    assert "no-store" == gateway.call("/metrics", method="GET", port=port).headers["cache-control"]
    assert 405 == gateway.call("/metrics", method="GET").status  # the callers' port has none
