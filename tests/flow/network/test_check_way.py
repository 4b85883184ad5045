"""
`check` on the way to Noojee: names, TCP, a proxy, certificates and TLS, each told from the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import ipaddress
import socket
import ssl
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from connect_proxy import run_connect_proxy
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from scripted_upstream import run_scripted_upstream
from way_up import RING, create_credential

from gateway.access.proxy import Proxy
from gateway.access.upstream import Upstream
from gateway.administration.checkup_journal import find_bridge
from gateway.clock import SystemClock
from gateway.diagnosis.upstream_check import UpstreamCheck
from gateway.simulator.certificates import ensure_certificates
from gateway.upstream.request import Timeouts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripted_upstream import ScriptedUpstream

    from gateway.diagnosis.finding import Finding

STRANGERS = "sha256//" + "A" * 43 + "="


def look(upstream: Upstream, *, connect_seconds: float = 2.0) -> dict[str, Finding]:
    """
    The findings of an upstream, by check. Nothing can be recorded here, so nothing is sent.
    """

    async def find_none(_: str) -> None:
        return None

    check = UpstreamCheck(
        ring=RING,
        timeouts=Timeouts(connect_seconds=connect_seconds),
        clock=SystemClock(),
        attempts=None,
        find_credential=find_none,
    )
    findings, _ = asyncio.run(check.look(upstream, [], with_key=True))
    return {finding.check.value: finding for finding in findings}


def there(scripted: ScriptedUpstream, **parts: Any) -> Upstream:
    """
    The scripted upstream, with another way to it.
    """
    return dataclasses.replace(create_credential(scripted).upstream, **parts)


def find_free_port() -> int:
    """
    One on which nobody listens.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_nothing_is_sent_when_nothing_can_be_recorded(scripted: ScriptedUpstream) -> None:
    """
    The way is walked all the same, up to its end and without a byte of a request (law 1).
    """
    before = len(scripted.requests)
    found = look(there(scripted))

    assert [True, True, None, True] == [found[name].ok for name in ("dns", "tcp", "proxy", "tls")]
    assert found["whitelist"].ok is None
    assert "nothing was sent, because the journal cannot be written" in found["whitelist"].detail
    assert before == len(scripted.requests)


def test_a_name_that_dns_does_not_know() -> None:
    """
    RFC 2606: no name under .invalid ever has an address.
    """
    found = look(Upstream("noojee", "noojee.invalid", 443))

    assert found["dns"].ok is False
    assert "noojee.invalid" in found["dns"].detail
    assert [None] * 4 == [found[name].ok for name in ("tcp", "tls", "whitelist", "key")]


def test_a_port_that_refuses_is_told_from_one_that_is_filtered() -> None:
    """
    A firewall that drops may be Noojee's white-list as well, so the address to ask for is named.
    """
    refused = look(Upstream("noojee", "127.0.0.1", find_free_port()))["tcp"]
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1))
        for _ in range(4):  # what comes beyond the backlog gets no answer, as behind a filter
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        filtered = look(Upstream("noojee", "127.0.0.1", full.getsockname()[1]), connect_seconds=0.3)["tcp"]

    assert (False, False) == (refused.ok, filtered.ok)
    assert "refuses connections" in refused.detail
    assert "does not answer" in filtered.detail
    assert "white-list 127.0.0.1" in (filtered.advice or "")


@pytest.mark.parametrize(
    ("answer", "said", "advised"),
    [
        (b"HTTP/1.1 407 No\r\n\r\n", "asks for a user and password (407)", "--proxy http://USER@HOST:PORT"),
        (b"HTTP/1.1 403 No\r\n\r\n", "does not allow connections", "allow CONNECT"),
        (b"HTTP/1.1 502 No\r\n\r\n", "could not connect", "cannot reach Noojee"),
        (b"hello\r\n\r\n", "gave no answer that can be read", "whether it is an HTTP proxy"),
    ],
    ids=["407", "403", "502", "none"],
)
def test_a_proxy_that_refuses(scripted: ScriptedUpstream, answer: bytes, said: str, advised: str) -> None:
    """
    It is the proxy that is at fault, and not DNS, TCP or TLS.
    """
    with run_connect_proxy(answer=answer) as proxy:
        found = look(there(scripted, proxy=Proxy("127.0.0.1", proxy.port)))

    assert [True, True, False, None] == [found[name].ok for name in ("dns", "tcp", "proxy", "tls")]
    assert said in found["proxy"].detail
    assert advised in (found["proxy"].advice or "")


def test_through_a_proxy_that_lets_us_the_rest_is_looked_at(scripted: ScriptedUpstream) -> None:
    """
    And a proxy that is not there is told as the first hop, which it is.
    """
    with run_connect_proxy() as proxy:
        found = look(there(scripted, proxy=Proxy("127.0.0.1", proxy.port)))
    gone = look(there(scripted, proxy=Proxy("127.0.0.1", find_free_port())))

    assert [True] * 4 == [found[name].ok for name in ("dns", "tcp", "proxy", "tls")]
    assert (False, None) == (gone["tcp"].ok, gone["proxy"].ok)
    assert "The proxy is reached" in (gone["tcp"].advice or "")


def test_certificates_that_are_not_trusted(scripted: ScriptedUpstream, tmp_path: Path) -> None:
    """
    Another authority, another name, another key: with what the server shows, to be compared.
    """
    stranger = ensure_certificates(tmp_path).ca_file.read_text()
    with run_scripted_upstream(tmp_path / "named") as named:
        # The name localhost is in the certificate; that of 127.0.0.1 as a name with a dot at its end is not.
        wrong_name = look(there(named, host="localhost.localdomain" if _resolves("localhost.localdomain") else "127.1"))
    untrusted = look(there(scripted, ca_pem=stranger))["tls"]
    pinned = look(there(scripted, pins=(STRANGERS,)))["tls"]

    assert (False, False, False) == (untrusted.ok, pinned.ok, wrong_name["tls"].ok)
    assert "is not signed by what --ca-file gave" in untrusted.detail
    assert "the pin sha256//" in untrusted.detail
    assert "the certificate is not for" in wrong_name["tls"].detail
    assert "another key than the pinned ones" in pinned.detail
    assert STRANGERS not in pinned.detail


def _resolves(name: str) -> bool:
    try:
        return any(each[4][0] == "127.0.0.1" for each in socket.getaddrinfo(name, 1))
    except OSError:
        return False


@pytest.mark.parametrize(
    ("begins_in", "ends_in", "ok", "said"),
    [
        (-20, -10, False, "the certificate has expired"),
        (10, 20, False, "the certificate is not valid yet"),
        (-10, 10, True, "a certificate until"),
    ],
    ids=["expired", "not yet", "soon"],
)
def test_a_certificates_dates(
    tmp_path: Path,
    begins_in: int,
    ends_in: int,
    ok: bool,  # noqa: FBT001 - a column of the table
    said: str,
) -> None:
    """
    Days from now: over, not begun, and good with a word of warning.
    """
    with run_scripted_upstream(tmp_path) as upstream:
        ca_pem = show_certificate(upstream, tmp_path, begins_in, ends_in)
        found = look(there(upstream, ca_pem=ca_pem))["tls"]

    assert found.ok is ok
    assert said in found.detail
    assert found.advice is not None
    if ok:
        assert "ends within 30 days" in found.advice


def show_certificate(upstream: ScriptedUpstream, folder: Path, begins_in: int, ends_in: int) -> str:
    """
    Have a server show a certificate with these dates, signed by itself; its PEM.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dated")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=begins_in))
        .not_valid_after(now + dt.timedelta(days=ends_in))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "dated.pem").write_bytes(pem)
    (folder / "dated-key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    upstream.context.load_cert_chain(folder / "dated.pem", folder / "dated-key.pem")
    return pem.decode()


def test_a_server_of_old_tls_is_told_with_the_pin_to_give(tmp_path: Path) -> None:
    """
    It is refused with the advice that helps, and with that advice followed it is good.
    """
    with run_scripted_upstream(tmp_path) as upstream:
        upstream.context.set_ciphers("ALL:@SECLEVEL=0")
        upstream.context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # that it is old is the point
            upstream.context.maximum_version = ssl.TLSVersion.TLSv1_1
        refused = look(there(upstream))["tls"]
        if "sha256//" not in refused.detail:
            pytest.skip("this OpenSSL has no TLS before 1.2")
        pin = "sha256//" + refused.detail.partition("sha256//")[2].rstrip(".")
        taken = look(there(upstream, pins=(pin,), allow_old_tls=True))["tls"]

    assert (False, True) == (refused.ok, taken.ok)
    assert "speaks no TLS from 1.2 on" in refused.detail
    assert "--allow-old-tls --pin sha256//" in (refused.advice or "")
    assert "TLSv1" in taken.detail


@contextlib.contextmanager
def run_plain_server(answer: bytes) -> Iterator[int]:
    """
    Something that speaks no TLS, and its port.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        connection.recv(4096)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield int(listening.getsockname()[1])
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize(
    ("answer", "said"),
    [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS"), (b"", "is ended within the handshake")],
    ids=["http", "closes"],
)
def test_what_is_no_tls_server(answer: bytes, said: str) -> None:
    """
    A wrong port, or somebody in between who closes.
    """
    with run_plain_server(answer) as port:
        found = look(Upstream("noojee", "127.0.0.1", port))["tls"]

    assert found.ok is False
    assert said in found.detail


def call(peer: str, caller: str, **more: str) -> dict[str, Any]:
    """
    A record of a call.
    """
    return {"tag": "call.intended", "peer": peer, "caller": caller, **more}


@pytest.mark.parametrize(
    ("records", "bridge"),
    [
        ([call("172.17.0.1", "crm"), call("172.17.0.1", "dialler")] * 5, "172.17.0.1"),
        ([call("172.17.0.1", "crm")] * 20, None),
        ([call("172.17.0.1", "crm"), call("172.17.0.1", "dialler")] * 2, None),
        ([call("172.17.0.1", "crm"), call("172.17.0.2", "dialler")] * 5, None),
        ([call("10.0.0.5", "crm"), call("10.0.0.5", "dialler")] * 5, None),
        ([call("127.0.0.1", "crm"), call("127.0.0.1", "dialler")] * 5, None),
        ([call("172.17.0.1", "crm", client="192.0.2.7"), call("172.17.0.1", "dialler")] * 5, None),
        ([{"tag": "call.ended", "caller": "crm"}] * 20, None),
    ],
    ids=["bridge", "one caller", "few", "two peers", "a server", "loopback", "trusted proxy", "outcomes"],
)
def test_callers_that_all_come_from_one_bridge_are_noticed(records: list[dict[str, Any]], bridge: str | None) -> None:
    """
    Several callers, one private address that is the first of its network, and no proxy that told more.
    """
    assert bridge == find_bridge(records)
