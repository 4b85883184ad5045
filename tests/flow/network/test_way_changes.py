"""
Another pin, authority or proxy while a gateway serves: what runs, what waits, and what comes after.
"""

from __future__ import annotations

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from connect_proxy import run_connect_proxy
from installation import API, wait_until

from gateway.administration import upstreams
from gateway.simulator.certificates import ensure_certificates

if TYPE_CHECKING:
    from pathlib import Path

    from installation import Installation, Response
    from noojee import Noojee

STRANGERS = "sha256//" + "A" * 43 + "="
START = f"{API}/start?extenOrUniqueId=410"
POLL = f"{API}/subscribe?exten=411&lastSequenceNumber=0&timeOut=30"


@pytest.mark.parametrize("what", ["pin", "authority", "proxy"])
def test_another_way_holds_for_what_is_not_sent_yet(
    installation: Installation, noojee: Noojee, tmp_path: Path, what: str
) -> None:
    """
    A dial at Noojee goes on to its answer; a poll ends; a call that waits is not sent; the next goes the new way alone.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    noojee.break_next("CallManagementAPI/dial", "delay", 4)
    with (
        run_connect_proxy() as proxy,
        installation.serve(GATEWAY_UPSTREAM_CONNECTIONS="1") as gateway,
        ThreadPoolExecutor(2) as threads,
        closing(http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)) as poll,
    ):
        changes: dict[str, dict[str, Any]] = {
            "pin": {"pins": [STRANGERS]},
            "authority": {"ca_pem": ensure_certificates(tmp_path).ca_file.read_text()},
            "proxy": {"proxy": f"http://127.0.0.1:{proxy.port}"},
        }

        def dial(number: str) -> Response:
            return gateway.call(f"{API}/dial?number={number}&extenOrUniqueId=SIP/410", token)

        poll.request("POST", POLL, headers={"Authorization": f"Bearer {token}"})
        wait_until(noojee.polls, "the poll is at Noojee")
        dialling = threads.submit(dial, "0412345678")
        wait_until(lambda: any("dial" in target for target in noojee.targets()), "the first is at Noojee")
        waiting = threads.submit(dial, "0498765432")
        wait_until(
            lambda: 3 == len([each for each in installation.calls() if each["tag"] == "call.intended"]), "intents"
        )
        with installation.desk() as desk:
            upstreams.change(desk, "noojee", **changes[what])
        told, ended, next_one = waiting.result(3.0), poll.getresponse(), gateway.call(START, token)
        ended_body = json.loads(ended.read())
        is_dialling = not dialling.done()
        sent = dialling.result(10)

    assert (503, "credential_unavailable") == (told.status, told.reason)
    assert (503, "credential_unavailable") == (ended.status, ended_body["reason"])
    assert (True, 200) == (is_dialling, sent.status)
    dialled = [target for target in noojee.targets() if "/dial?" in target]
    assert ["0412345678"] == [parse_qs(urlsplit(target).query)["number"][0] for target in dialled]
    started = [target for target in noojee.targets() if "/start?" in target]
    if what == "proxy":
        assert (200, 1, 1) == (next_one.status, len(started), len(proxy.heads))
    else:
        assert ("upstream_certificate", [], []) == (next_one.reason, started, proxy.heads)
