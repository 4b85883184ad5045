"""
The hash method through `serve`: the pair in place of the key, its second attempt and nothing wider, and the way off it.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from installation import API, CAMPAIGN_API, Installation, wait_until

from gateway.administration import credentials, tokens, upstreams
from gateway.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from installation import Gateway, Response
    from noojee import Noojee

START = f"{API}/start?extenOrUniqueId=410"
STOP = f"{API}/stop?extenOrUniqueId=410"
DIAL = f"{API}/dial?number=0412345678&extenOrUniqueId=SIP/410"
TEMPLATES = f"{CAMPAIGN_API}/getCampaignTemplateList"
TIME = "/servicemanager/rest/Time"
EXPIRED = {"Message": "Expired TimeStamp", "Code": -1}
PAIR = re.compile(r"timeStamp=([0-9]{13})&hash=([0-9a-f]{64})")


class Hashed:
    """
    A gateway whose upstream takes hash pairs.
    """

    def __init__(self, installation: Installation, gateway: Gateway, noojee: Noojee, token: str) -> None:
        self.installation = installation
        self.gateway = gateway
        self.noojee = noojee
        self.token = token

    def call(self, target: str) -> Response:
        """
        One call.
        """
        return self.gateway.call(target, self.token)

    def accept_pair(self) -> None:
        """
        Have a call succeed, so that the pair is a proven one.
        """
        assert 0 == self.call(TEMPLATES).json()["code"]

    def expire_pairs(self) -> None:
        """
        Have Noojee take no pair of before, and forget what it was asked.
        """
        self.noojee.forget("pairs", "requests")

    def paths(self) -> list[str]:
        """
        What Noojee was asked for, by the last name of each path.
        """
        return [request["target"].partition("?")[0].rpartition("/")[2] for request in self.noojee.requests()]

    def attempts(self, response: Response, count: int) -> list[tuple[Any, ...]]:
        """
        The records of a call, so many of them, as tag, attempt and what became of it.
        """
        request_id = response.headers["x-request-id"]
        found: list[dict[str, Any]] = wait_until(
            lambda: [*self.installation.calls(request_id)][count - 1 :] and self.installation.calls(request_id),
            f"{count} records of {request_id}",
        )
        return [
            (record["tag"], record["attempt"], record.get("outcome"), record.get("noojee_code")) for record in found
        ]


ONCE = ("call.intended", 1, None, None)
AGAIN = ("call.intended", 2, None, None)


@pytest.fixture(scope="module")
def running(running_noojee: Noojee, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hashed]:
    """
    One gateway for the module.
    """
    installation = Installation(tmp_path_factory.mktemp("hashed") / "data", running_noojee.simulator)
    installation.set_up()
    with installation.desk() as desk:
        upstreams.change(desk, "noojee", auth="hash")
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.serve(GATEWAY_LOG_LEVEL="debug") as gateway:
        yield Hashed(installation, gateway, running_noojee, token)


@pytest.fixture
def hashed(running: Hashed, noojee: Noojee) -> Hashed:
    """
    The gateway with no pair that Noojee would take, and nothing asked yet.
    """
    with running.installation.desk() as desk:
        # Another trust is another upstream: what the gateway held of the last test is forgotten.
        ca_pem = noojee.simulator.ca_file.read_text()
        upstreams.change(
            desk, "noojee", auth="hash", ca_pem=f"{ca_pem}\n# {len(running.installation.journal('admin'))}"
        )
    running.expire_pairs()
    return running


def test_a_pair_goes_up_in_place_of_the_key_and_is_used_again(hashed: Hashed) -> None:
    """
    First in the query, made of the server's own time, which is asked once and without credentials.
    """
    assert 200 == hashed.call(START).status
    assert 200 == hashed.call(STOP).status
    assert 200 == hashed.call(TEMPLATES).status

    time, *calls = [request["target"] for request in hashed.noojee.requests()]
    assert TIME == time
    (pair,) = {found[0] for target in calls if (found := PAIR.search(target))}
    found = PAIR.fullmatch(pair)
    assert found is not None
    assert hashlib.sha256(f"{hashed.noojee.global_key}:{found[1]}".encode()).hexdigest() == found[2]
    path, _, query = STOP.partition("?")
    assert [f"{path}?{pair}&{query}", f"{TEMPLATES}?{pair}"] == calls[1:]
    asked = {name.lower(): value for name, value in hashed.noojee.requests()[0]["headers"]}
    assert {"host", "user-agent", "accept-encoding", "content-length"} == asked.keys()


def test_many_calls_at_once_shake_hands_once(hashed: Hashed) -> None:
    """
    The others wait for the one, and the pair is good for all of them.
    """
    with ThreadPoolExecutor(20) as pool:
        responses = list(pool.map(hashed.call, [TEMPLATES] * 20))

    assert {200} == {response.status for response in responses}
    assert {"Time": 1, "getCampaignTemplateList": 20} == {name: hashed.paths().count(name) for name in hashed.paths()}


def test_an_expired_pair_is_the_one_thing_after_which_a_call_goes_again(hashed: Hashed) -> None:
    """
    Attempt 1 was refused with -1 and did nothing; attempt 2 has an intent of its own, and the caller sees it alone.
    """
    hashed.accept_pair()
    hashed.expire_pairs()

    response = hashed.call(START)

    assert (200, "Recording started") == (response.status, response.json()["Message"])
    assert ["start", "Time", "start"] == hashed.paths()
    assert [
        ONCE,
        ("call.ended", 1, "refused", -1),
        AGAIN,
        ("call.ended", 2, "succeeded", 0),
    ] == hashed.attempts(response, 4)
    assert 200 == hashed.call(STOP).status


def test_many_calls_that_meet_an_expired_pair_share_the_next(hashed: Hashed) -> None:
    """
    Each goes once more, with one handshake for all.
    """
    hashed.accept_pair()
    hashed.expire_pairs()
    hashed.noojee.break_next("CampaignAPI/*", "delay", 0.3, times=10)

    with ThreadPoolExecutor(10) as pool:
        responses = list(pool.map(hashed.call, [TEMPLATES] * 10))

    assert {200} == {response.status for response in responses}
    assert {0} == {response.json()["code"] for response in responses}
    assert (1, 20) == (hashed.paths().count("Time"), hashed.paths().count("getCampaignTemplateList"))


def test_nothing_goes_a_third_time(hashed: Hashed) -> None:
    """
    A Noojee that calls every pair expired gets each call twice, and its caller the second reply.
    """
    hashed.accept_pair()
    hashed.expire_pairs()
    hashed.noojee.break_next("CallManagementAPI/start", "body", json.dumps(EXPIRED), times=9)

    response = hashed.call(START)

    assert (200, EXPIRED) == (response.status, response.json())
    assert ["start", "Time", "start"] == hashed.paths()
    assert [
        ONCE,
        ("call.ended", 1, "refused", -1),
        AGAIN,
        ("call.ended", 2, "refused", -1),
    ] == hashed.attempts(response, 4)


def test_a_second_attempt_that_is_lost_is_what_the_caller_hears_of(hashed: Hashed) -> None:
    """
    Its handshake failed, so it was not sent; attempt 1 keeps its own outcome.
    """
    hashed.accept_pair()
    hashed.expire_pairs()
    hashed.noojee.break_next("Time", "status", 500)

    response = hashed.call(START)

    assert (502, "upstream_broke") == (response.status, response.reason)
    assert "was not sent" in response.json()["detail"]
    assert [ONCE, ("call.ended", 1, "refused", -1), AGAIN, ("call.ended", 2, "not_sent", None)] == hashed.attempts(
        response, 4
    )


def test_a_dial_never_goes_twice(hashed: Hashed) -> None:
    """
    Whatever Noojee says: a telephone might ring twice. The pair is given up, so that the next dial is served.
    """
    hashed.accept_pair()
    hashed.expire_pairs()

    response = hashed.call(DIAL)

    assert (200, EXPIRED) == (response.status, response.json())
    assert ["dial"] == hashed.paths()
    assert [ONCE, ("call.ended", 1, "refused", -1)] == hashed.attempts(response, 2)
    assert 0 == hashed.call(DIAL).json()["Code"]
    assert ["dial", "Time", "dial"] == hashed.paths()


def test_a_pair_that_was_never_accepted_is_not_followed_by_another_attempt(hashed: Hashed) -> None:
    """
    Who knows what is wrong then: with the clock, or with the key.
    """
    hashed.noojee.break_next("CallManagementAPI/start", "body", json.dumps(EXPIRED))

    response = hashed.call(START)

    assert (200, EXPIRED) == (response.status, response.json())
    assert ["Time", "start"] == hashed.paths()
    assert [ONCE, ("call.ended", 1, "refused", -1)] == hashed.attempts(response, 2)


@pytest.mark.parametrize(
    ("kind", "value", "code"),
    [
        ("body", json.dumps({**EXPIRED, "SessionID": 1}), -1),
        ("body", json.dumps({**EXPIRED, "Code": "-1"}), -1),
        ("body", json.dumps({"code": -1, "message": "Expired TimeStamp"}), -1),
        ("body", json.dumps({**EXPIRED, "Message": "Expired"}), -1),
        ("body", json.dumps({**EXPIRED, "Code": -2}), -2),
        ("body", json.dumps(EXPIRED) + " " * 65536, None),
        ("status", 401, None),
        ("status", 500, None),
        ("cut", 5, None),
        ("reset_after", None, None),
    ],
)
def test_nothing_else_makes_a_call_go_again(hashed: Hashed, kind: str, value: object, code: int | None) -> None:
    """
    Nearly the same reply, one past 64 KiB, another error, none at all: one request, one intent, one outcome.
    """
    hashed.accept_pair()
    hashed.noojee.forget("requests")
    hashed.noojee.break_next("CallManagementAPI/start", kind, value)

    response = hashed.call(START)

    records = hashed.attempts(response, 2)
    assert (2, ONCE) == (len(records), records[0])
    assert code == records[1][3]
    assert ["start"] == hashed.paths()
    hashed.noojee.forget("calls")


@pytest.mark.parametrize(
    ("kind", "value", "status", "reason"),
    [
        ("reset_before", None, 502, "upstream_broke"),
        ("status", 404, 502, "upstream_broke"),
        ("status", 503, 502, "upstream_broke"),
        ("redirect", "https://evil.example/", 502, "upstream_redirected"),
        ("body", "soon", 502, "upstream_broke"),
        ("large", 70_000, 502, "upstream_broke"),
        ("cut", 5, 502, "upstream_broke"),
    ],
)
def test_a_call_whose_handshake_fails_was_not_sent(
    hashed: Hashed, kind: str, value: object, status: int, reason: str
) -> None:
    """
    The intent is on record, the operation never reached Noojee, and the caller may safely try again.
    """
    hashed.noojee.break_next("Time", kind, value)

    response = hashed.call(START)

    assert (status, reason) == (response.status, response.reason)
    assert "did not tell its time" in response.json()["detail"]
    assert response.json()["detail"].endswith("it was not sent.")
    assert ["Time"] == hashed.paths()
    assert [ONCE, ("call.ended", 1, "not_sent", None)] == hashed.attempts(response, 2)


def test_the_intent_is_on_disk_before_the_handshake(hashed: Hashed) -> None:
    """
    Law 1 holds for the first byte that a call makes us send, and that is of `Time`.
    """
    hashed.noojee.break_next("Time", "delay", 0.5)
    with ThreadPoolExecutor(1) as pool:
        calling = pool.submit(hashed.call, TEMPLATES)
        wait_until(hashed.noojee.requests, "Time is asked")
        last = hashed.installation.calls()[-1]
        assert ["Time"] == hashed.paths()

        assert "call.intended" == last["tag"]
        assert last["request_id"] == calling.result().headers["x-request-id"]


def test_time_is_served_to_no_caller(hashed: Hashed) -> None:
    """
    It is the gateway's own step.
    """
    response = hashed.call(TIME)

    assert (404, "operation_not_served") == (response.status, response.reason)
    assert [] == hashed.paths()


def test_what_a_caller_sends_of_a_pair_stays_behind(hashed: Hashed) -> None:
    """
    One pair goes up, and it is ours.
    """
    hashed.call(f"{API}/hangup?timeStamp=1700000000000&extenOrUniqueId=410&hash=00&apiKey={hashed.token}")

    (target,) = [request["target"] for request in hashed.noojee.requests() if TIME != request["target"]]
    assert re.fullmatch(re.escape(f"{API}/hangup?") + PAIR.pattern + "&extenOrUniqueId=410", target)


def test_a_revoked_token_gets_no_second_attempt(hashed: Hashed) -> None:
    """
    A write goes on when its token is revoked, and what Noojee says is its reply; but it is not sent anew.
    """
    token = hashed.installation.add_caller("leaver", [("everything", ["*"])])
    hashed.accept_pair()
    hashed.expire_pairs()
    hashed.noojee.break_next("CallManagementAPI/start", "delay", 1)
    responses: list[Response] = []
    calling = threading.Thread(target=lambda: responses.append(hashed.gateway.call(START, token)))
    calling.start()
    wait_until(hashed.noojee.requests, "the start is at Noojee")

    with hashed.installation.desk() as desk:
        tokens.revoke(desk, token.split("_")[1])

    calling.join()
    assert (200, EXPIRED) == (responses[0].status, responses[0].json())
    assert ["start"] == hashed.paths()
    assert [ONCE, ("call.ended", 1, "refused", -1)] == hashed.attempts(responses[0], 2)


def test_a_rotated_key_has_a_pair_of_its_own(hashed: Hashed) -> None:
    """
    The pair of the old key is forgotten with it, though Noojee would take it for an hour more.
    """
    hashed.accept_pair()
    with hashed.installation.desk() as desk:
        credentials.rotate(desk, "everything", key=Secret(hashed.noojee.user_key))
        response = hashed.call(TEMPLATES)
        credentials.rotate(desk, "everything", key=Secret(hashed.noojee.global_key))

    assert 0 == response.json()["code"]
    assert ["Time", "getCampaignTemplateList"] * 2 == hashed.paths()
    found = PAIR.search(hashed.noojee.requests()[-1]["target"])
    assert found is not None
    assert hashlib.sha256(f"{hashed.noojee.user_key}:{found[1]}".encode()).hexdigest() == found[2]


def test_noojee_can_be_upgraded_without_a_restart(hashed: Hashed) -> None:
    """
    After `upstream set --auth api-key` the next call shows the key; a poll that was held goes on, and back again.
    """
    poll = http.client.HTTPConnection("127.0.0.1", hashed.gateway.port, timeout=30)
    poll.request(
        "POST",
        f"{API}/subscribe?exten=410&lastSequenceNumber=999999&timeOut=20",
        headers={"Authorization": f"Bearer {hashed.token}"},
    )
    wait_until(hashed.noojee.polls, "the poll waits at Noojee")

    result = hashed.installation.verb("upstream", "set", "noojee", "--auth", "api-key")

    assert 0 == result.returncode, result.stderr
    assert 0 == hashed.call(TEMPLATES).json()["code"]
    assert f"{TEMPLATES}?apiKey={hashed.noojee.global_key}" == hashed.noojee.requests()[-1]["target"]
    assert 1 == len(hashed.noojee.polls())
    hashed.noojee.forget("polls")
    response = poll.getresponse()
    assert 200 == response.status
    assert b'"seq"' in response.read()
    poll.close()
    shown = hashed.installation.verb("upstream", "set", "noojee", "--auth", "hash", "--json")
    assert 0 == shown.returncode, shown.stderr
    assert "hash" == json.loads(shown.stdout)["auth"]
    hashed.noojee.forget("requests")
    assert 0 == hashed.call(TEMPLATES).json()["code"]
    assert ["Time", "getCampaignTemplateList"] == hashed.paths()


def test_a_drain_begins_no_second_attempt(installation: Installation, noojee: Noojee) -> None:
    """
    The reply that has come is passed on; a new attempt would have to be waited for.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.desk() as desk:
        upstreams.change(desk, "noojee", auth="hash")
    with installation.serve() as gateway:
        hashed = Hashed(installation, gateway, noojee, token)
        hashed.accept_pair()
        hashed.expire_pairs()
        noojee.break_next("CallManagementAPI/start", "delay", 1)
        responses: list[Response] = []
        calling = threading.Thread(target=lambda: responses.append(hashed.call(START)))
        calling.start()
        wait_until(noojee.requests, "the start is at Noojee")

        gateway.process.terminate()

        calling.join()
        assert (200, EXPIRED) == (responses[0].status, responses[0].json())
        assert 0 == gateway.process.wait(20)
    assert ["start"] == hashed.paths()
    assert [ONCE, ("call.ended", 1, "refused", -1)] == hashed.attempts(responses[0], 2)


def test_neither_key_nor_pair_is_shown_anywhere(hashed: Hashed) -> None:
    """
    Law 3, over all that the tests of this module have made the gateway write: a pair opens everything for an hour.
    """
    hashed.accept_pair()
    targets = [request["target"] for request in hashed.noojee.requests()]
    digests = {found[2] for target in targets if (found := PAIR.search(target))}
    assert digests

    folder = hashed.installation.data_dir
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for secret in (*digests, hashed.noojee.global_key):
        assert secret.encode() not in written
    assert b"hash=" not in written
    assert b"timeStamp" not in written
