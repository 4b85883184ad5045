"""
Keys that are replaced while calls are running, without one that fails.
"""

from __future__ import annotations

import base64
import http.client
import shutil
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from connect_proxy import run_connect_proxy
from installation import API, CAMPAIGN_API, Gateway, Installation, wait_until
from noojee import Noojee

from gateway.administration import credentials, keys, tokens, upstreams
from gateway.errors import OperatorError, OperatorReason
from gateway.secret import Secret
from gateway.simulator import run_in_background

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEMPLATES = f"{CAMPAIGN_API}/getCampaignTemplateList"
POLL = f"{API}/subscribe?exten=410&lastSequenceNumber=0&timeOut=30"
START = f"{API}/start?extenOrUniqueId=410"
CALLERS_AT_ONCE = 4
PAUSE_SECONDS = 0.025
"""Keeps all of them below the 200 calls a second that a caller may make."""
CALLS_BETWEEN = 12
"""How many calls must have ended between one change and the next, so that each meets some."""


@dataclass
class Load:
    """
    What came of the calls that run all the time.
    """

    statuses: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def wait_for_more(self) -> None:
        """
        Return when some more calls have ended.
        """
        enough = len(self.statuses) + CALLS_BETWEEN
        wait_until(lambda: len(self.statuses) >= enough or self.errors, "calls are running")


@contextmanager
def run_load(gateway: Gateway, token: str) -> Iterator[Load]:
    """
    Calls one after the other, over several connections at once, until the block ends.
    """
    load, over = Load(), threading.Event()

    def call_on() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
        try:
            while not over.wait(PAUSE_SECONDS):
                connection.request("POST", TEMPLATES, headers={"Authorization": f"Bearer {token}"})
                response = connection.getresponse()
                body = response.read()
                if response.status != 200:
                    load.errors.append(f"{response.status} {body!r}")
                load.statuses.append(response.status)
        except (OSError, http.client.HTTPException) as error:
            load.errors.append(repr(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=call_on) for _ in range(CALLERS_AT_ONCE)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        over.set()
        for thread in threads:
            thread.join(30)


@pytest.fixture(scope="module")
def running_noojee(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Noojee]:
    """
    A Noojee that knows two users, whose keys may call the same.
    """
    with run_in_background(tmp_path_factory.mktemp("noojee"), user_logins=("alice", "bob")) as simulator:
        found = Noojee(simulator)
        yield found
        found.close()


def read_key(noojee: Noojee, login: str) -> Secret:
    """
    A user's key.
    """
    return Secret(noojee.simulator.user_key_files[login].read_text().strip())


def find_last_key_of(noojee: Noojee, mark: str) -> str:
    """
    Whose key came up with the last request that has this mark in its query.
    """
    targets = [str(request["target"]) for request in noojee.requests()]
    target = [target for target in targets if mark in target][-1]
    (login,) = (login for login in ("alice", "bob") if read_key(noojee, login).reveal() in target)
    return login


def test_a_credential_is_rotated_without_a_failed_call(installation: Installation, noojee: Noojee) -> None:
    """
    There and back several times under load; when a rotation has returned, the next call goes up with the new key.
    """
    token = installation.add_caller("crm", [("campaigns", ["CampaignAPI/*"])])
    logins, used = ["bob", "alice"] * 4, []
    with installation.serve() as gateway, run_load(gateway, token) as load, installation.desk() as desk:
        for login in logins:
            load.wait_for_more()
            credentials.rotate(desk, "campaigns", key=read_key(noojee, login))
            response = gateway.call(f"{TEMPLATES}?mine=1", token)
            used.append((response.status, find_last_key_of(noojee, "mine=1")))
        load.wait_for_more()

    assert [] == load.errors
    assert [(200, login) for login in logins] == used
    assert len(logins) * CALLS_BETWEEN <= len(load.statuses)
    assert ["credential.rotated"] * len(logins) == [
        e["tag"] for e in installation.journal("admin") if "rotated" in e["tag"]
    ]
    assert {"succeeded"} == {e["outcome"] for e in installation.calls() if e["tag"] == "call.ended"}


def test_a_rotation_ends_no_poll(installation: Installation, noojee: Noojee) -> None:
    """
    Rotating is not revoking: a poll that waits with the old key goes on, and gets what happens.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with (
        installation.serve() as gateway,
        installation.desk() as desk,
        closing(http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)) as poll,
    ):
        poll.request("POST", POLL, headers={"Authorization": f"Bearer {token}"})
        wait_until(noojee.polls, "the poll waits at Noojee")

        credentials.rotate(desk, "everything", key=read_key(noojee, "bob"))
        refused = gateway.call(START, token)
        keys.rotate(desk)
        credentials.rotate(desk, "everything", key=Secret(noojee.global_key))
        assert 1 == len(noojee.polls())
        gateway.call(f"{API}/dial?number=0412345678&extenOrUniqueId=SIP/410", token)
        response = poll.getresponse()

        assert b"API key not authorised for this method" in refused.body  # the new key was in force all the while
        assert (200, True) == (response.status, b'"seq"' in response.read())
    (ending,) = (e for e in installation.calls() if e["tag"] == "call.ended" and e.get("upstream_status") == 403)
    assert "refused" == ending["outcome"]


def test_a_new_master_key_ends_no_poll_behind_a_proxy_with_a_password(
    installation: Installation, noojee: Noojee
) -> None:
    """
    The proxy's password is sealed anew together with the keys, and that is no reason to end a call either.
    """
    basic = "Basic " + base64.b64encode(b"gateway:secret").decode()
    token = installation.add_caller("crm", [("everything", ["*"])])
    with run_connect_proxy(authorization=basic) as proxy, installation.desk() as desk:
        upstreams.change(
            desk, "noojee", proxy=f"http://gateway@127.0.0.1:{proxy.port}", proxy_password=Secret("secret")
        )
        with (
            installation.serve() as gateway,
            closing(http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)) as poll,
        ):
            poll.request("POST", POLL, headers={"Authorization": f"Bearer {token}"})
            wait_until(noojee.polls, "the poll waits at Noojee")

            keys.rotate(desk)
            keys.prune(desk)
            gateway.call(f"{API}/dial?number=0412345678&extenOrUniqueId=SIP/410", token)
            response = poll.getresponse()

            assert (200, True) == (response.status, b'"seq"' in response.read())
    assert 2 <= len(proxy.heads)


def test_the_master_key_is_rotated_and_pruned_without_a_failed_call(installation: Installation) -> None:
    """
    Twice under load, once by the command line. What runs reads the ring again by itself, and so does the next start.
    """
    token = installation.add_caller("crm", [("campaigns", ["CampaignAPI/*"]), ("everything", ["*"])])
    with installation.serve() as gateway, run_load(gateway, token) as load:
        done = []
        for verb in ("rotate", "prune"):
            load.wait_for_more()
            done.append(installation.verb("master-key", verb, "--json"))
        with installation.desk() as desk:
            load.wait_for_more()
            keys.rotate(desk)
            load.wait_for_more()
            keys.prune(desk)
        load.wait_for_more()
        served = gateway.call(START, token).status
    with installation.serve() as gateway:
        served_anew = gateway.call(TEMPLATES, token).status

    assert [(0, "")] * 2 == [(each.returncode, each.stderr) for each in done]
    assert [] == load.errors
    assert (200, 200) == (served, served_anew)
    assert ["3"] == [line.split()[0] for line in (installation.data_dir / "master.key").read_text().splitlines()]


def test_nothing_is_sealed_under_a_version_that_a_worker_has_not_got(
    installation: Installation, tmp_path: Path
) -> None:
    """
    A worker whose ring is a copy, as systemd makes one, goes on serving; when it has the version a repetition ends it.
    """
    own = tmp_path / "copy.key"
    shutil.copy2(installation.data_dir / "master.key", own)
    token = installation.add_caller("crm", [("campaigns", ["CampaignAPI/*"])])
    with installation.serve(GATEWAY_MASTER_KEY_FILE=str(own)) as gateway, installation.desk() as desk:
        with pytest.raises(OperatorError, match=r"worker-0\.sock") as caught:
            keys.rotate(desk)
        statuses = [gateway.call(TEMPLATES, token).status]
        shutil.copy2(installation.data_dir / "master.key", own)
        rotated = keys.rotate(desk)
        statuses.append(gateway.call(TEMPLATES, token).status)

    assert OperatorReason.NOT_ACKNOWLEDGED == caught.value.reason
    assert {"version": 2, "versions": [1, 2], "credentials": 2} == rotated
    assert [200, 200] == statuses
    (failed,) = (e for e in installation.journal("admin") if e["tag"] == "change.failed")
    assert "not_acknowledged" == failed["reason"]


def test_a_token_is_rotated_with_and_without_an_overlap(installation: Installation) -> None:
    """
    Both are good for as long as was said; with none the old one is refused when the verb has returned.
    """
    first = installation.add_caller("crm", [("campaigns", ["CampaignAPI/*"])])
    with installation.serve() as gateway, installation.desk() as desk:
        second = tokens.rotate(desk, first.split("_")[1], overlap=timedelta(hours=1))[1].reveal()
        both = [gateway.call(TEMPLATES, token).status for token in (first, second)]
        third = installation.verb("token", "rotate", second.split("_")[1], "--overlap", "0s").stdout.strip()
        one = [gateway.call(TEMPLATES, token).status for token in (second, third)]
        fourth = tokens.rotate(desk, third.split("_")[1], overlap=timedelta(seconds=1))[1].reveal()
        wait_until(lambda: gateway.call(TEMPLATES, third).status == 401, "the overlap is over", 3)

        assert ([200, 200], [401, 200]) == (both, one)
        assert 200 == gateway.call(TEMPLATES, fourth).status
