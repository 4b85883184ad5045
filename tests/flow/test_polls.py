"""
Long polls: held, left by their caller, ended by us.
"""

from __future__ import annotations

import http.client
import socket
import threading
from typing import TYPE_CHECKING

from installation import API, Installation, wait_until

if TYPE_CHECKING:
    from noojee import Noojee

POLL = f"{API}/subscribe?exten=410&lastSequenceNumber=0&timeOut=30"


def begin_poll(port: int, token: str) -> http.client.HTTPConnection:
    """
    A poll that is on its way.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", POLL, headers={"Authorization": f"Bearer {token}"})
    return connection


def test_a_poll_is_held_and_answered_when_something_happens(installation: Installation, noojee: Noojee) -> None:
    """
    The reply comes down as Noojee gave it, with its own seq.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve() as gateway:
        connection = begin_poll(gateway.port, token)
        wait_until(noojee.polls, "the poll waits at Noojee")
        gateway.call(f"{API}/dial?number=0412345678&extenOrUniqueId=SIP/410", token)

        response = connection.getresponse()

        assert 200 == response.status
        assert b'"seq"' in response.read()
        connection.close()


def test_a_caller_that_leaves_ends_its_poll_at_noojee(installation: Installation, noojee: Noojee) -> None:
    """
    Otherwise the polls of a client with a five-second timeout would pile up.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve() as gateway:
        connection = begin_poll(gateway.port, token)
        wait_until(noojee.polls, "the poll waits at Noojee")

        connection.close()

        wait_until(lambda: not noojee.polls(), "the poll at Noojee ends")
        ended = wait_until(lambda: [e for e in installation.calls() if e["tag"] == "call.ended"], "its outcome")
        assert "abandoned" == ended[0]["outcome"]


def test_a_caller_that_leaves_does_not_end_its_dial(installation: Installation, noojee: Noojee) -> None:
    """
    A telephone is ringing: the complete reply decides the outcome, whether anybody hears of it or not.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    noojee.break_next("CallManagementAPI/dial", "delay", 1)
    with installation.serve() as gateway:
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
        connection.request(
            "POST",
            f"{API}/dial?number=0412345678&extenOrUniqueId=SIP/410",
            headers={"Authorization": f"Bearer {token}"},
        )
        wait_until(noojee.requests, "the dial is at Noojee")

        connection.close()

        ended = wait_until(lambda: [e for e in installation.calls() if e["tag"] == "call.ended"], "its outcome")
        assert "succeeded" == ended[0]["outcome"]


def test_revoking_disabling_and_removing_end_polls(installation: Installation, noojee: Noojee) -> None:
    """
    The verb returns when the worker has acknowledged; each poll gets 503 and Retry-After and the outcome `abandoned`.
    """
    tokens = {name: installation.add_caller(name, [("everything", ["*"])]) for name in ("one", "two", "three")}
    verbs = {
        "one": ("token", "revoke", tokens["one"].split("_")[1]),
        "two": ("caller", "disable", "two"),
        "three": ("credential", "remove", "everything"),
    }
    with installation.serve() as gateway:
        for name, words in verbs.items():
            connection = begin_poll(gateway.port, tokens[name])
            wait_until(noojee.polls, "the poll waits at Noojee")

            result = installation.verb(*words)

            assert 0 == result.returncode, result.stderr
            response = connection.getresponse()
            body = response.read()
            assert 503 == response.status, body
            assert b"credential_unavailable" in body
            assert response.headers["Retry-After"]
            connection.close()
            wait_until(lambda: not noojee.polls(), "the poll at Noojee ends")
    outcomes = [(e["caller"], e["outcome"], e["reason"]) for e in installation.calls() if e["tag"] == "call.ended"]
    assert [(name, "abandoned", "credential_unavailable") for name in tokens] == outcomes


def test_stopping_ends_polls_at_once_and_refuses_new_calls(installation: Installation, noojee: Noojee) -> None:
    """
    SIGTERM: polls get 503 `draining`, a running dial gets its reply, a new call 503 `draining`, nobody is cut off.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    noojee.break_next("CallManagementAPI/dial", "delay", 2)
    with installation.serve() as gateway:
        dial: list[int] = []

        def run_dial() -> None:
            dial.append(gateway.call(f"{API}/dial?number=1&extenOrUniqueId=SIP/411", token).status)

        dialling = threading.Thread(target=run_dial)
        dialling.start()
        wait_until(lambda: len(noojee.requests()) == 1, "the dial is at Noojee")
        connection = begin_poll(gateway.port, token)
        wait_until(noojee.polls, "the poll waits at Noojee")

        gateway.process.terminate()

        response = connection.getresponse()
        assert 503 == response.status
        assert b"draining" in response.read()
        refused = gateway.call(f"{API}/hangup?extenOrUniqueId=410", token)
        assert (503, "draining") == (refused.status, refused.reason)
        assert "5" == refused.headers["retry-after"]
        assert b"draining" == gateway.call("/readyz", method="GET").body
        dialling.join()
        assert [200] == dial
        assert 0 == gateway.process.wait(20)
    tags = [record["tag"] for record in installation.journal()]
    assert "worker.stopped" == tags[-1]
    assert [] == open_intents(installation)


def test_calls_that_outlast_the_drain_are_answered_with_what_is_known(
    installation: Installation, noojee: Noojee
) -> None:
    """
    A write that Noojee does not answer: 503 `draining`, it may have been carried out, outcome `unknown`.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    noojee.break_next("CallManagementAPI/start", "stall", "HTTP/1.1 200 OK\r\n")
    with installation.serve(GATEWAY_DRAIN_TIMEOUT="1s") as gateway:
        answers = []

        def run_start() -> None:
            answers.append(gateway.call(f"{API}/start?extenOrUniqueId=410", token))

        starting = threading.Thread(target=run_start)
        starting.start()
        wait_until(noojee.requests, "the start is at Noojee")

        gateway.process.terminate()

        starting.join()
        assert (503, "draining") == (answers[0].status, answers[0].reason)
        assert "may have been carried out" in answers[0].json()["detail"]
        assert 0 == gateway.process.wait(20)
    assert "unknown" == installation.calls()[-1]["outcome"]


def open_intents(installation: Installation) -> list[str]:
    """
    Request ids of intents without an outcome.
    """
    calls = installation.calls()
    ended = {call["request_id"] for call in calls if call["tag"] == "call.ended"}
    return [call["request_id"] for call in calls if call["tag"] == "call.intended" and call["request_id"] not in ended]


def test_a_caller_that_closes_only_its_sending_side_still_gets_an_answer(
    installation: Installation, noojee: Noojee
) -> None:
    """
    From here it looks as if it had left, so its poll is abandoned; but nobody who listens is left without an answer.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve() as gateway, socket.create_connection(("127.0.0.1", gateway.port), 20) as caller:
        head = f"POST {POLL} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
        caller.sendall(head.encode())
        wait_until(noojee.polls, "the poll waits at Noojee")

        caller.shutdown(socket.SHUT_WR)

        assert caller.recv(65536).startswith(b"HTTP/1.1 408 ")
        wait_until(lambda: not noojee.polls(), "the poll at Noojee ends")
    assert "abandoned" == installation.calls()[-1]["outcome"]
