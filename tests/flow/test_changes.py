"""
What operators change while the gateway runs: in force within a second, at once where the verb waits for it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from installation import API, Gateway, Installation, wait_until
from noojee import run_noojee
from worker_in_loop import open_worker

from gateway.administration import callers, credentials, grants, tokens, upstreams
from gateway.administration.desk import Desk
from gateway.clock import SystemClock, render_instant
from gateway.data_plane.headers import Headers
from gateway.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from installation import Response
    from noojee import Noojee

HANGUP = f"{API}/hangup?extenOrUniqueId=410"
BOUND_SECONDS = 3.0
"""The promise is one second; the rest is for a busy machine."""


class Place:
    """
    A running gateway with a caller `crm` that may call through the credential `key`.
    """

    def __init__(self, installation: Installation, gateway: Gateway) -> None:
        self.installation = installation
        self.gateway = gateway
        self.token = installation.add_caller("crm", [("everything", ["*"])])
        wait_until(lambda: self.call() == "served", "the caller is known")

    def call(self, token: str | None = None) -> str:
        """
        What a call gets: `served`, or the reason of the refusal.
        """
        response = self.gateway.call(HANGUP, token or self.token)
        return response.reason if b"reason" in response.body else "served"

    def wait_for(self, expected: str) -> None:
        """
        Return when a call gets that, within the promised time.
        """
        wait_until(lambda: self.call() == expected, expected, BOUND_SECONDS, every_seconds=0.2)

    @contextmanager
    def unheard_desk(self) -> Iterator[Desk]:
        """
        A desk whose word does not reach the worker, as from another node: it finds out by itself.
        """
        elsewhere = self.installation.settings | {"run_dir": self.installation.data_dir / "nowhere"}
        with Desk.open(**elsewhere, clock=SystemClock()) as desk:
            yield desk

    def grant_id(self, desk: Desk) -> str:
        """
        The id of the caller's one grant.
        """
        (grant,) = grants.find_all(desk, "crm")
        return str(grant["grant_id"])


@pytest.fixture(scope="module")
def running(running_noojee: Noojee, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """
    One gateway for the changes below; each puts back what it took.
    """
    installation = Installation(tmp_path_factory.mktemp("changes") / "data", running_noojee.simulator)
    installation.set_up()
    with installation.serve() as gateway:
        yield Place(installation, gateway)


@pytest.fixture
def place(running: Place, noojee: Noojee) -> Place:
    """
    The same, with nothing at Noojee yet.
    """
    assert [] == noojee.requests()
    return running


def revoke(place: Place, desk: Desk) -> None:
    """
    The caller's token ends, and it gets another.
    """
    tokens.revoke(desk, place.token.split("_")[1])


def regain_token(place: Place, desk: Desk) -> None:
    """
    A new token for the caller.
    """
    place.token = tokens.issue(desk, "crm", expires_in=None)[1].reveal()


def regain_credential(place: Place, desk: Desk) -> None:
    """
    The key again, under its old name.
    """
    key = Secret(place.installation.simulator.global_key_file.read_text().strip())
    credentials.add(desk, "everything", upstream="noojee", kind="global", owner=None, key=key)


def distrust(place: Place, desk: Desk) -> None:
    """
    The upstream is to be trusted by an authority that did not sign it.
    """
    with run_noojee(place.installation.data_dir.parent / "stranger") as stranger:
        upstreams.change(desk, "noojee", ca_pem=stranger.simulator.ca_file.read_text())


CHANGES: dict[str, tuple[Callable[[Place, Desk], object], str, Callable[[Place, Desk], object]]] = {
    "token revoked, another issued": (revoke, "token_invalid", regain_token),
    "caller disabled, enabled": (
        lambda _, desk: callers.disable(desk, "crm"),
        "token_invalid",
        lambda _, desk: callers.enable(desk, "crm"),
    ),
    "network narrowed, widened": (
        lambda _, desk: callers.change(desk, "crm", networks=["192.0.2.0/24"]),
        "network_not_allowed",
        lambda _, desk: callers.change(desk, "crm", networks=[]),
    ),
    "grant removed, added": (
        lambda place, desk: grants.remove(desk, place.grant_id(desk)),
        "operation_not_granted",
        lambda _, desk: grants.add(desk, "crm", credential="everything", operations=["*"]),
    ),
    "credential removed, added": (
        lambda _, desk: credentials.remove(desk, "everything"),
        "credential_unavailable",
        regain_credential,
    ),
    "upstream's authority changed, and back": (
        distrust,
        "upstream_certificate",
        lambda place, desk: upstreams.change(desk, "noojee", ca_pem=place.installation.simulator.ca_file.read_text()),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_in_force_within_a_second_though_nobody_tells(place: Place, change: str) -> None:
    """
    Both ways: what is taken away, and what is given.
    """
    take, reason, give = CHANGES[change]

    with place.unheard_desk() as desk:
        take(place, desk)
        place.wait_for(reason)
        give(place, desk)
        place.wait_for("served")


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_in_force_when_the_verb_returns(place: Place, change: str) -> None:
    """
    A running worker is told, and has acknowledged by then; the very next call is decided by the new state.
    """
    take, reason, give = CHANGES[change]

    with place.installation.desk() as desk:
        take(place, desk)
        assert reason == place.call()
        give(place, desk)
        assert "served" == place.call()


def test_calls_go_where_the_upstream_has_moved(place: Place, noojee: Noojee, tmp_path: Path) -> None:
    """
    Another port takes every key again; from then on nothing more reaches the old one.
    """
    installation = place.installation
    shutil.copytree(installation.simulator.global_key_file.parent, tmp_path / "moved")
    keys = {"everything": Secret(noojee.global_key), "campaigns": Secret(noojee.user_key)}
    assert "served" == place.call()
    assert 1 == len(noojee.requests())

    with run_noojee(tmp_path / "moved") as moved, installation.desk() as desk:
        upstreams.change(desk, "noojee", url=moved.simulator.url, keys=keys)
        assert "served" == place.call()
        assert 1 == len(moved.requests())
        upstreams.change(desk, "noojee", url=noojee.simulator.url, keys=keys)

    assert 1 == len(noojee.requests())
    assert "served" == place.call()


def test_what_is_revoked_while_a_body_is_on_its_way_is_not_carried_out(place: Place, noojee: Noojee) -> None:
    """
    The call is decided by what is in force when its body is whole.
    """
    token = place.token
    body = b"tag=x"
    head = (
        f"POST {API}/start?extenOrUniqueId=410 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", place.gateway.port), timeout=10) as caller:
        caller.sendall(head.encode())
        assert caller.recv(4096).startswith(b"HTTP/1.1 100 ")  # its head was decided on, its body is waited for
        with place.installation.desk() as desk:
            tokens.revoke(desk, token.split("_")[1])
            caller.sendall(body)
            answer = caller.recv(4096)
            regain_token(place, desk)

    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"token_invalid" in answer
    assert [] == noojee.requests()


@pytest.mark.parametrize("takes_back", ["token", "credential"])
def test_what_is_taken_back_while_a_call_waits_for_its_turn_is_not_sent(
    installation: Installation, noojee: Noojee, takes_back: str
) -> None:
    """
    Its intent is on record and all connections are in use: what is acknowledged then holds for it, too (law 2).
    """
    first = installation.add_caller("first", [("everything", ["*"])])
    second = installation.add_caller("second", [("everything", ["*"])])
    noojee.break_next("CallManagementAPI/dial", "delay", 4)
    with installation.serve(GATEWAY_UPSTREAM_CONNECTIONS="1") as gateway, ThreadPoolExecutor(2) as threads:

        def dial(token: str, number: str) -> Response:
            return gateway.call(f"{API}/dial?number={number}&extenOrUniqueId=SIP/410", token)

        dialling = threads.submit(dial, first, "0412345678")
        wait_until(noojee.requests, "the first is at Noojee")
        waiting = threads.submit(dial, second, "0498765432")
        wait_until(
            lambda: 2 == len([each for each in installation.calls() if each["tag"] == "call.intended"]), "intents"
        )
        with installation.desk() as desk:
            if takes_back == "token":
                tokens.revoke(desk, second.split("_")[1])
            else:
                credentials.remove(desk, "everything")
        told = waiting.result(3.0)
        is_dialling = not dialling.done()
        sent = dialling.result(10)

    assert (503, "credential_unavailable") == (told.status, told.reason)
    assert "was not sent" in json.loads(told.body)["detail"]
    assert is_dialling
    assert 200 == sent.status
    assert ["0412345678"] == [parse_qs(urlsplit(target).query)["number"][0] for target in noojee.targets()]
    ends = {each["caller"]: each["outcome"] for each in installation.calls() if each["tag"] == "call.ended"}
    assert {"first": "succeeded", "second": "not_sent"} == ends


def test_no_old_expiry_outlives_a_large_change(installation: Installation) -> None:
    """
    Six hundred tokens change one after the other, and calls come between them: what they found is not kept.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    expired = render_instant(datetime.now(UTC) - timedelta(seconds=1))
    headers = Headers([(b"authorization", f"Bearer {token}".encode())])
    now = datetime.now(UTC) - timedelta(hours=1)
    with installation.desk() as desk:
        for _ in range(600):
            tokens.issue(desk, "crm", expires_in=None)

    async def transcript() -> str:
        async with open_worker(installation) as opened:
            worker = opened.worker
            with sqlite3.connect(installation.data_dir / "gateway.db") as registry:
                version = worker._snapshots.current.version + 1
                registry.execute("UPDATE tokens SET expires_at = ?, changed_in = ?", (expired, version))
                registry.execute("UPDATE meta SET version = ?", (version,))

            async def call_on() -> None:
                while True:
                    # An hour ago nothing had expired, so each of these is found and could be kept.
                    worker._authenticator.authenticate(worker._snapshots.current, headers, b"", "127.0.0.1", now)
                    await asyncio.sleep(0)

            calling = asyncio.create_task(call_on())
            assert await worker._snapshots.refresh(version)
            calling.cancel()
            return (await opened.call(HANGUP, token)).reason

    assert "token_invalid" == asyncio.run(transcript())


def test_an_expired_token_is_refused(place: Place) -> None:
    """
    Checked on every call, with no change of the registry to tell of it; not before its time.
    """
    issued = place.installation.verb("token", "issue", "crm", "--expires", "1s")
    assert 0 == issued.returncode, issued.stderr
    token = issued.stdout.strip()
    with place.installation.desk() as desk:
        (row,) = (each for each in tokens.find_all(desk, "crm") if each["token_id"] == token.split("_")[1])
    expires_at = datetime.fromisoformat(str(row["expires_at"]))

    def find_refusal() -> datetime | None:
        return datetime.now(UTC) if place.call(token) == "token_invalid" else None

    refused_at: datetime = wait_until(find_refusal, "the token is refused", BOUND_SECONDS)

    assert expires_at <= refused_at
    assert expires_at - datetime.fromisoformat(str(row["issued_at"])) == timedelta(seconds=1)
    assert "served" == place.call()


def test_a_worker_that_does_not_answer_is_told_and_the_change_stands(place: Place) -> None:
    """
    Exit 1 after about two seconds; whoever only gave something is not kept from his token by it.
    """
    with place.installation.desk() as desk:
        spare = tokens.issue(desk, "crm", expires_in=None)[1].reveal()
    token_id = spare.split("_")[1]
    worker = place.gateway.worker_pid
    os.kill(worker, signal.SIGSTOP)
    try:
        began = time.monotonic()
        revoked = place.installation.verb("token", "revoke", token_id, "--json")
        took = time.monotonic() - began
        issued = place.installation.verb("token", "issue", "crm")
    finally:
        os.kill(worker, signal.SIGCONT)

    assert (1, "") == (revoked.returncode, revoked.stdout)
    assert '"reason": "not_acknowledged"' in revoked.stderr
    assert "The change is committed" in revoked.stderr
    assert 2.0 <= took < 2.0 + BOUND_SECONDS
    assert 0 == issued.returncode, issued.stderr
    wait_until(lambda: place.call(spare) == "token_invalid", "the change is in force", BOUND_SECONDS)
    wait_until(lambda: place.call(issued.stdout.strip()) == "served", "the new token too", BOUND_SECONDS)
    assert 0 == place.installation.verb("token", "revoke", token_id).returncode  # repeated, as the sentence says


def test_with_nobody_running_a_verb_returns_at_once(installation: Installation) -> None:
    """
    No socket, or one that a killed worker left behind: there is nobody to wait for.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with installation.desk() as desk:
        began = time.monotonic()
        tokens.revoke(desk, token.split("_")[1])
        alone = time.monotonic() - began
        with installation.serve() as gateway:
            gateway.kill()
        assert (installation.data_dir / "run" / "worker-0.sock").is_socket()
        began = time.monotonic()
        callers.disable(desk, "crm")
        left_behind = time.monotonic() - began

    assert max(alone, left_behind) < 1.8  # an unanswered word would have taken 2 s
    assert 0 == installation.verb("credential", "remove", "everything").returncode
