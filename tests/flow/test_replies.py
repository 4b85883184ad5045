"""
What becomes of Noojee's replies, whole and broken.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from installation import API, CAMPAIGN_API, Installation, wait_until

from gateway.administration import upstreams
from gateway.simulator import run_in_background

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from noojee import House, Noojee

STOP = f"{API}/stop?extenOrUniqueId=410"
START = f"{API}/start?extenOrUniqueId=410"
CHUNKED = "Transfer-Encoding: chunked\r\n"
BROKE = ("upstream_broke", "unknown")
BROKEN = (502, *BROKE, 200)


@pytest.mark.parametrize(
    ("kind", "value", "status", "reason", "outcome", "upstream_status"),
    [
        ("redirect", "https://evil.example/", 502, "upstream_redirected", "failed", 302),
        ("reset_before", None, 502, "upstream_broke", "unknown", None),
        ("reset_after", None, 502, "upstream_broke", "unknown", None),
        ("cut", 10, 502, "upstream_broke", "unknown", 200),
        ("cut", 0, 502, "upstream_broke", "unknown", 200),
        ("close_delimited", "not json", 502, "upstream_broke", "unknown", 200),
        ("close_delimited", '{"Code": 0', 502, "upstream_broke", "unknown", 200),
        ("truncated", '{"Code": 0', 502, "upstream_broke", "unknown", 200),
        ("raw", "nonsense\r\n\r\n", 502, "upstream_broke", "unknown", None),
        ("raw", "HTTP/1.1 200 OK\r\nContent-Le", 502, "upstream_broke", "unknown", None),
        ("raw", f"HTTP/1.1 200 OK\r\n{CHUNKED}Content-Length: 2\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n", *BROKEN),
        ("raw", f"HTTP/1.1 200 OK\r\n{CHUNKED}\r\nzz\r\n{{}}\r\n0\r\n\r\n", *BROKEN),
        ("raw", f"HTTP/1.1 200 OK\r\n{CHUNKED}\r\n2\r\n{{}}\r\n", *BROKEN),
        ("raw", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x", 502, *BROKE, None),
    ],
)
def test_a_reply_that_is_not_whole_becomes_an_error_that_tells_the_fate(
    house: House,
    noojee: Noojee,
    kind: str,
    value: object,
    status: int,
    reason: str,
    outcome: str,
    upstream_status: int | None,
) -> None:
    """
    Nothing went down yet, so the caller gets a problem; the call is sent once and its outcome is not guessed.
    """
    noojee.break_next("CallManagementAPI/start", kind, value)

    response = house.call(START)

    assert (status, reason) == (response.status, response.reason)
    assert "may have been carried out" in response.json()["detail"]
    assert 1 == len(noojee.requests())
    intended, ended = house.records_of(response)
    assert (outcome, reason) == (ended["outcome"], ended["reason"])
    assert upstream_status == ended.get("upstream_status")
    assert 1 == intended["attempt"]


@pytest.mark.parametrize(("status", "outcome"), [(400, "refused"), (403, "refused"), (500, "failed"), (503, "failed")])
def test_noojees_own_errors_are_passed_on(house: House, noojee: Noojee, status: int, outcome: str) -> None:
    """
    Status and body are Noojee's; only the journal has our word for it.
    """
    noojee.break_next("CallManagementAPI/start", "status", status)

    response = house.call(START)

    assert status == response.status
    assert "reason" not in response.json()
    assert outcome == house.records_of(response)[1]["outcome"]


@pytest.mark.parametrize(
    ("operation", "body", "outcome", "code"),
    [
        (START, '{"Code": -7, "Message": "no"}', "refused", -7),
        (START, '{"Code": "-7"}', "refused", -7),
        (START, '{"Code": 1, "Message": "notice"}', "succeeded", 1),
        (START, '{"Code": 105}', "succeeded", 105),
        (START, "[]", "succeeded", None),
        (START, "plain", "succeeded", None),
        (f"{CAMPAIGN_API}/insertLeadFast?fTemplateId=1", '{"code": 105}', "refused", 105),
        (f"{CAMPAIGN_API}/insertLeadFast?fTemplateId=1", '{"code": 0}', "succeeded", 0),
        (f"{CAMPAIGN_API}/getCampaignList", '{"code": 105}', "succeeded", 105),
    ],
)
def test_the_code_in_a_reply_decides_the_outcome_and_the_reply_goes_down_untouched(
    house: House, noojee: Noojee, operation: str, body: str, outcome: str, code: int | None
) -> None:
    """
    Negative is refused, 101-110 is on lead calls; what the caller gets is what Noojee said.
    """
    noojee.break_next("*", "body", body)

    response = house.call(operation)

    assert (200, body.encode()) == (response.status, response.body)
    ended = house.records_of(response)[1]
    assert (outcome, code) == (ended["outcome"], ended.get("noojee_code"))


def test_a_close_delimited_reply_that_parses_is_whole(house: House, noojee: Noojee) -> None:
    """
    Without length and chunks, only a JSON object or array proves that nothing is missing.
    """
    noojee.break_next("CallManagementAPI/start", "close_delimited", '{"Code": 0}')

    response = house.call(START)

    assert (200, b'{"Code": 0}') == (response.status, response.body)
    assert "succeeded" == house.records_of(response)[1]["outcome"]


def test_no_cookie_is_kept_or_passed_on(house: House, noojee: Noojee) -> None:
    """
    A Set-Cookie under one credential goes neither down nor up again with another.
    """
    noojee.break_next("*", "set_cookie", "JSESSIONID=1; Path=/")

    response = house.call(f"{CAMPAIGN_API}/getCampaignList", "campaigner")
    house.call(f"{API}/hangup?extenOrUniqueId=410")
    house.call(f"{CAMPAIGN_API}/getCampaignList", "campaigner")

    assert "set-cookie" not in response.headers
    for request in noojee.requests():
        assert "cookie" not in {name.lower() for name, _ in request["headers"]}


def test_answers_are_not_stored_sniffed_or_run(house: House, noojee: Noojee) -> None:
    """
    The headers that are ours stand on replies and on problems.
    """
    del noojee
    for response in (house.call(f"{API}/hangup?extenOrUniqueId=410"), house.call("/nowhere")):
        assert {
            "cache-control": "no-store",
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "content-security-policy": "sandbox",
        }.items() <= response.headers.items()
        assert 36 == len(response.headers["x-request-id"])


def test_a_large_reply_is_streamed(house: House, noojee: Noojee) -> None:
    """
    Beyond 64 KiB it goes down as it comes, whole.
    """
    noojee.break_next("*", "large", 5_000_000)

    response = house.call(START)

    assert (200, 5_000_000) == (response.status, len(response.body))
    ended = house.records_of(response)[1]
    assert ("succeeded", 5_000_000) == (ended["outcome"], ended["reply_bytes"])


def test_a_large_reply_that_is_cut_cannot_be_taken_for_complete(house: House, noojee: Noojee) -> None:
    """
    Something has gone down already, so the caller's connection is aborted.
    """
    noojee.break_next("*", "raw", "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + "x" * 100_000)
    connection = http.client.HTTPConnection("127.0.0.1", house.gateway.port, timeout=20)
    connection.request("POST", START, headers={"Authorization": f"Bearer {house.tokens['all']}"})
    response = connection.getresponse()
    request_id = response.headers["X-Request-Id"]

    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        response.read()

    connection.close()
    ended = wait_until(
        lambda: [each for each in house.installation.calls(request_id) if each["tag"] == "call.ended"], "its outcome"
    )[0]
    assert ("unknown", "upstream_broke") == (ended["outcome"], ended["reason"])


def test_a_caller_that_reads_slowly_holds_the_upstream_back(house: House, noojee: Noojee) -> None:
    """
    Back-pressure: 100 MB are not gathered in memory for a caller that takes none of them yet.
    """
    noojee.break_next("*", "large", 100_000_000)
    with socket.create_connection(("127.0.0.1", house.gateway.port)) as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        head = f"POST {START} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {house.tokens['all']}\r\n\r\n"
        caller.sendall(head.encode())
        caller.recv(1024)
        status = (f"/proc/{house.gateway.worker_pid}/status",)
        before = _resident_kilobytes(status[0])
        house.call(f"{API}/hangup?extenOrUniqueId=1")  # the gateway serves others meanwhile

    assert before < 300_000


def _resident_kilobytes(path: str) -> int:
    try:
        with open(path, encoding="ascii") as status:  # noqa: PTH123  # procfs
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
    except FileNotFoundError:
        pytest.skip("there is no /proc here to read a process's memory from")
    return 0


@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_a_certificate_that_is_not_trusted_keeps_the_call_here(noojee: Noojee, tmp_path: Path, wrong: str) -> None:
    """
    Another authority, another name: 502, nothing sent, and proven so.
    """
    house = Installation(tmp_path / "data", noojee.simulator)
    # 127.1 is another way to write 127.0.0.1, and not in the certificate.
    house.set_up(url=noojee.simulator.url.replace("127.0.0.1", "127.1") if wrong == "name" else None)
    token = house.add_caller("crm", [("everything", ["*"])])
    if wrong == "authority":
        with run_in_background(tmp_path / "other") as other, house.desk() as desk:
            upstreams.change(desk, "noojee", ca_pem=other.ca_file.read_text())

    with house.serve() as gateway:
        response = gateway.call(START, token)

    assert (502, "upstream_certificate") == (response.status, response.reason)
    assert "it was not sent" in response.json()["detail"]
    assert "not_sent" == house.calls()[-1]["outcome"]
    assert [] == noojee.requests()


def test_an_upstream_that_is_not_there_is_told(noojee: Noojee, tmp_path: Path) -> None:
    """
    Refused connection: 502 `upstream_unreachable`, proven not sent, tried once more and not a third time.
    """
    house = Installation(tmp_path / "data", noojee.simulator)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: a connection is refused
        house.set_up(url=f"https://127.0.0.1:{taken.getsockname()[1]}")
        token = house.add_caller("crm", [("everything", ["*"])])
        with house.serve() as gateway:
            response = gateway.call(START, token)

    assert (502, "upstream_unreachable") == (response.status, response.reason)
    expected = [("call.intended", 1, None), ("call.ended", 1, "not_sent")]
    expected += [("call.intended", 2, None), ("call.ended", 2, "not_sent")]
    assert expected == [(each["tag"], each["attempt"], each.get("outcome")) for each in house.calls()]


def test_an_upstream_that_comes_back_is_reached_by_the_second_attempt(noojee: Noojee, tmp_path: Path) -> None:
    """
    The first connection is closed before its handshake; nothing was sent on it, and the caller notices nothing.
    """
    house = Installation(tmp_path / "data", noojee.simulator)
    with open_once_closing(noojee.simulator.url) as url:
        house.set_up(url=url)
        token = house.add_caller("crm", [("everything", ["*"])])
        with house.serve() as gateway:
            response = gateway.call(START, token)

    assert 200 == response.status
    assert ["not_sent", "succeeded"] == [each["outcome"] for each in house.calls() if each["tag"] == "call.ended"]
    assert 1 == len(noojee.requests())


@contextlib.contextmanager
def open_once_closing(url: str) -> Iterator[str]:
    """
    A way to the simulator whose first connection is closed at once; every later one is passed through.
    """
    port = int(url.rpartition(":")[2])

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                target.sendall(piece)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve(listener: socket.socket) -> None:
        listener.accept()[0].close()
        caller = listener.accept()[0]
        with caller, socket.create_connection(("127.0.0.1", port)) as target:
            back = threading.Thread(target=pass_on, args=(target, caller))
            back.start()
            pass_on(caller, target)
            back.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_noojee_that_does_not_answer_in_time_is_told(noojee: Noojee, tmp_path: Path) -> None:
    """
    504, sent and not answered: `unknown`.
    """
    house = Installation(tmp_path / "data", noojee.simulator)
    house.set_up()
    token = house.add_caller("crm", [("everything", ["*"])])
    noojee.break_next("*", "delay", 5)
    with house.serve(GATEWAY_WRITE_REPLY_TIMEOUT="1s") as gateway:
        response = gateway.call(START, token)

    assert (504, "upstream_timeout") == (response.status, response.reason)
    assert "unknown" == house.calls()[-1]["outcome"]
    assert json.dumps(house.calls()).find(noojee.global_key) < 0
