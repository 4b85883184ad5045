"""
Law 5, only Noojee: one place, proven to be it, and nothing that stands in the environment or in a call changes that.
"""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import socket
import ssl
import subprocess
import warnings
from typing import TYPE_CHECKING

import pytest
from installation import API, Installation
from noojee import run_noojee
from raw_call import send_raw
from trap import create_server_context, open_trap
from worker_in_loop import open_worker

from gateway.administration import credentials, upstreams
from gateway.errors import OperatorError
from gateway.registry.store import Store
from gateway.secret import Secret

if TYPE_CHECKING:
    from pathlib import Path

    from noojee import House, Noojee

START = f"{API}/start?extenOrUniqueId=410"
HANGUP = f"{API}/hangup?extenOrUniqueId=410"


def test_nothing_is_taken_from_the_environment(installation: Installation, noojee: Noojee, tmp_path: Path) -> None:
    """
    Proxies, `.netrc`, a key log, other authorities: whoever can set a variable could read or take over what we send.
    """
    with installation.desk() as desk:
        upstreams.add(desk, "system-store", url=noojee.simulator.url, ca_pem=None)
        key = Secret(noojee.global_key)
        credentials.add(desk, "by-system-store", upstream="system-store", kind="global", owner=None, key=key)
    token = installation.add_caller("crm", [("everything", ["*"])])
    by_system_store = installation.add_caller("other", [("by-system-store", ["*"])])
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    authorities = tmp_path / "authorities"
    authorities.mkdir()
    for name in name_by_hash(noojee.simulator.ca_file):
        shutil.copy(noojee.simulator.ca_file, authorities / name)
    with open_trap() as proxy:
        at = f"http://127.0.0.1:{proxy.port}"
        hostile = dict.fromkeys(
            ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy"], at
        )
        hostile |= {
            "NO_PROXY": "",
            "no_proxy": "",
            "HOME": str(tmp_path),
            "NETRC": str(tmp_path / ".netrc"),
            "SSLKEYLOGFILE": str(tmp_path / "keys.log"),
            "SSL_CERT_FILE": str(noojee.simulator.ca_file),
            "SSL_CERT_DIR": str(authorities),
            "REQUESTS_CA_BUNDLE": str(noojee.simulator.ca_file),
            "CURL_CA_BUNDLE": str(noojee.simulator.ca_file),
        }
        with installation.serve(**hostile) as gateway:
            served = gateway.call(START, token)
            untrusted = gateway.call(START, by_system_store)

    assert 200 == served.status
    requests = noojee.requests()
    assert 1 == len(requests)
    assert "authorization" not in {name.lower() for name, _ in requests[0]["headers"]}
    assert (502, "upstream_certificate") == (untrusted.status, untrusted.reason)
    assert "it was not sent" in untrusted.json()["detail"]
    assert 0 == proxy.connections
    assert not (tmp_path / "keys.log").exists()


def name_by_hash(ca_file: Path) -> list[str]:
    """
    The name under which OpenSSL looks for an authority in a folder; nothing where there is no `openssl` to tell it.
    """
    if shutil.which("openssl") is None:
        return []
    words = ["openssl", "x509", "-subject_hash", "-noout", "-in", str(ca_file)]
    return [subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip() + ".0"]


@pytest.mark.parametrize("wrong", ["authority", "name", "key", "old TLS"])
def test_who_is_not_proven_to_be_noojee_gets_nothing(noojee: Noojee, tmp_path: Path, wrong: str) -> None:
    """
    A certificate of another authority, of the right one for another name, or with another key than the pinned one.

    Nor does a row that allows old TLS without any pin, which no verb writes, let anybody in.
    """
    installation = Installation(tmp_path / "data", noojee.simulator)
    # 127.1 is another way to write 127.0.0.1, and not in the certificate.
    installation.set_up(url=noojee.simulator.url.replace("127.0.0.1", "127.1") if wrong == "name" else None)
    if wrong == "authority":
        with run_noojee(tmp_path / "other") as other, installation.desk() as desk:
            upstreams.change(desk, "noojee", ca_pem=other.simulator.ca_file.read_text())
    if wrong == "key":
        with installation.desk() as desk:
            upstreams.change(desk, "noojee", pins=["sha256//" + "A" * 43 + "="])
    if wrong == "old TLS":
        with Store.open(installation.data_dir / "gateway.db") as store, store.transaction() as registry:
            upstream = registry.find_upstreams()["noojee"]
            registry.set_upstream(dataclasses.replace(upstream, ca_pem=None, allow_old_tls=True))
    token = installation.add_caller("crm", [("everything", ["*"])])

    async def transcript() -> None:
        async with open_worker(installation) as worker:
            response = await worker.call(START, token)

            assert (502, "upstream_certificate") == (response.status, response.reason)

    asyncio.run(transcript())
    assert "not_sent" == installation.calls()[-1]["outcome"]
    assert [] == noojee.requests()


def test_tls_before_1_2_is_not_spoken(noojee: Noojee, tmp_path: Path) -> None:
    """
    A server that can do no better than TLS 1.1 is not talked to.
    """
    old = create_server_context(noojee.simulator.ca_file.parent)
    speak_old_tls(old)
    with open_trap(old) as trap:
        if not shakes_hands(trap.port, noojee.simulator.ca_file):
            pytest.skip("this OpenSSL speaks no TLS 1.1, so nothing could be shown")
        installation = Installation(tmp_path / "data", noojee.simulator)
        installation.set_up(url=f"https://127.0.0.1:{trap.port}")
        token = installation.add_caller("crm", [("everything", ["*"])])

        async def transcript() -> None:
            async with open_worker(installation) as worker:
                response = await worker.call(START, token)

                assert 502 == response.status
                assert "it was not sent" in response.json()["detail"]

        asyncio.run(transcript())
        assert 3 == trap.connections  # ours, and the call's two attempts: what is proven not sent goes once more
        assert b"old" == trap.received


def speak_old_tls(context: ssl.SSLContext) -> None:
    """
    Let a context speak TLS 1.1 and nothing newer.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of what we want to show
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")


def shakes_hands(port: int, ca_file: Path) -> bool:
    """
    Whether somebody who is content with TLS 1.1 can talk to a server.
    """
    lenient = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    lenient.load_verify_locations(ca_file)
    speak_old_tls(lenient)
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
            lenient.wrap_socket(plain, server_hostname="127.0.0.1") as shaken,
        ):
            shaken.sendall(b"old")
            return True
    except OSError:
        return False


def test_a_redirect_is_not_followed(house: House, noojee: Noojee) -> None:
    """
    Wherever Noojee points, the key does not go there, and the caller is not sent there either.
    """
    with open_trap() as trap:
        noojee.break_next("*", "redirect", f"http://127.0.0.1:{trap.port}/")
        away = house.call(START)
        noojee.break_next("*", "redirect", f"{noojee.simulator.url}{HANGUP}")
        back = house.call(START)

    assert 2 * [(502, "upstream_redirected")] == [(each.status, each.reason) for each in (away, back)]
    assert "location" not in {*away.headers, *back.headers}
    assert 0 == trap.connections
    assert 2 == len(noojee.requests())


def test_no_call_says_where_it_goes(house: House, noojee: Noojee) -> None:
    """
    Host, authority, forwarding headers and method of the caller end here; the path's bytes are the catalogue's.
    """
    with open_trap() as trap:
        there = f"127.0.0.1:{trap.port}"
        head = f"Host: {there}\r\nAuthorization: Bearer {house.tokens['all']}\r\nX-Forwarded-Host: {there}\r\n"
        head += f"Forwarded: host={there}\r\nX-Original-URL: /simulator/requests\r\nX-HTTP-Method-Override: GET\r\n\r\n"
        for target in (HANGUP, f"http://{there}{HANGUP}", f"https://{there}{HANGUP}"):
            answer = send_raw(house.gateway.port, f"POST {target} HTTP/1.1\r\n{head}".encode())
            assert answer is not None
            assert b'"reason"' not in answer.body

    assert 0 == trap.connections
    requests = noojee.requests()
    assert 3 * [("POST", f"{API}/hangup?apiKey={noojee.global_key}&extenOrUniqueId=410")] == [
        (request["method"], request["target"]) for request in requests
    ]
    for request in requests:
        headers = {name.lower(): value for name, value in request["headers"]}
        assert noojee.simulator.url == f"https://{headers['host']}"
        assert not headers.keys() & {"x-forwarded-host", "forwarded", "x-original-url", "x-http-method-override"}


@pytest.mark.parametrize(
    "path",
    [
        "/servicemanager/rest/CallManagementAPI/../CallManagementAPI/hangup",
        "/servicemanager/rest/CallManagementAPI/%68angup",
        "/servicemanager/rest/CallManagementAPI/hangup/",
        "//servicemanager/rest/CallManagementAPI/hangup",
        "/servicemanager/rest/CallManagementAPI/Hangup",
        "/simulator/requests",
        "/servicemanager/",
    ],
)
def test_no_path_beyond_the_catalogue_goes_up(house: House, noojee: Noojee, path: str) -> None:
    """
    Not even one that Noojee would read as a path of the catalogue.
    """
    response = house.call(f"{path}?extenOrUniqueId=410")

    assert (404, "operation_unknown") == (response.status, response.reason)
    assert [] == noojee.requests()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "ftp://127.0.0.1", "127.0.0.1", "https://a:b@127.0.0.1", "https://127.0.0.1/?x=1"]
)
def test_an_upstream_without_tls_cannot_be_configured(installation: Installation, url: str) -> None:
    """
    A key never travels in plain text, and no part of the URL can be taken in two ways.
    """
    with installation.desk() as desk, pytest.raises(OperatorError):
        upstreams.add(desk, "plain", url=url, ca_pem=None)
