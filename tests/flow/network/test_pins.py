"""
Pins beside the certificate's verification, and in its place for a server that only speaks old TLS.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import ssl
import subprocess
import warnings
from typing import TYPE_CHECKING

import pytest
from scripted_upstream import Ending, ScriptedUpstream, run_scripted_upstream
from way_up import create_credential, create_request, fetch

from gateway.simulator.certificates import ensure_certificates
from gateway.upstream.certificate import CertificateError, find_pin, find_validity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gateway.access.credential import Credential
    from gateway.upstream.client import PooledUpstreams

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"Code":0}'
STRANGERS = "sha256//" + "A" * 43 + "="


def pinned(credential: Credential, *pins: str, allow_old_tls: bool = False, ca_pem: str | None = None) -> Credential:
    """
    The credential of an upstream with pins.
    """
    upstream = dataclasses.replace(credential.upstream, pins=pins, allow_old_tls=allow_old_tls)
    if ca_pem is not None:
        upstream = dataclasses.replace(upstream, ca_pem=ca_pem or None)
    return dataclasses.replace(credential, upstream=upstream)


def get_certificate(scripted: ScriptedUpstream) -> bytes:
    """
    What it shows, DER.
    """
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", scripted.port)))


@pytest.fixture(scope="module")
def present(scripted: ScriptedUpstream) -> str:
    """
    The pin of the scripted upstream's key.
    """
    return find_pin(get_certificate(scripted))


def test_a_pin_is_what_openssl_makes_of_the_certificates_key(scripted: ScriptedUpstream) -> None:
    """
    The SHA-256 of the SubjectPublicKeyInfo, as in curl's manual.
    """
    certificate = get_certificate(scripted)
    chain = (
        "openssl x509 -inform der -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary "
        "| openssl enc -base64"
    )
    told = subprocess.run(["sh", "-c", chain], input=certificate, capture_output=True, check=True)
    dates = subprocess.run(
        ["openssl", "x509", "-inform", "der", "-noout", "-enddate"], input=certificate, capture_output=True, check=True
    )

    assert "sha256//" + told.stdout.decode().strip() == find_pin(certificate)
    assert find_validity(certificate).ends_at.strftime("%b %e %H:%M:%S %Y") in dates.stdout.decode()


def test_what_is_no_certificate_is_told_so(scripted: ScriptedUpstream) -> None:
    """
    Cut anywhere before its key's end, or with another beginning: an error of its own, never another exception.
    """
    certificate = get_certificate(scripted)
    for size in range(len(certificate)):
        with contextlib.suppress(CertificateError):
            find_pin(certificate[:size])
            raise AssertionError(size)
    with pytest.raises(CertificateError):
        find_validity(b"\x31" + certificate[1:])


def test_the_pinned_key_is_let_in_and_another_is_not(
    scripted: ScriptedUpstream, play: Callable[..., None], present: str
) -> None:
    """
    Of several pins one is enough; without it nothing is sent, though the certificate verifies.
    """
    query = scripted.add(OK)
    credential = create_credential(scripted)
    before = len(scripted.requests)

    async def story(sender: PooledUpstreams) -> None:
        good = await fetch(sender, create_request(pinned(credential, STRANGERS, present), query))
        bad = await fetch(sender, create_request(pinned(credential, STRANGERS), query))

        assert (200, None) == (good.status, good.reason)
        assert ("upstream_certificate", "not_sent", False) == (bad.reason, bad.outcome, bad.was_handed_over)

    play(story)
    assert 1 == len(scripted.requests) - before


def test_a_session_is_resumed_for_the_pins_it_was_begun_with_alone(
    scripted: ScriptedUpstream, play: Callable[..., None], present: str
) -> None:
    """
    A short handshake shows no certificate: one whose pin has been changed since begins with a whole one.
    """
    query = scripted.add(OK, ending=Ending.NOTIFY)
    credential = pinned(create_credential(scripted), present)
    changed, back = pinned(credential, STRANGERS), pinned(credential, present, STRANGERS)
    before = len(scripted.visits)

    async def story(sender: PooledUpstreams) -> None:
        for each in (credential, credential):
            assert 200 == (await fetch(sender, create_request(each, query))).status
        await sender.forget({changed})
        assert "upstream_certificate" == (await fetch(sender, create_request(changed, query))).reason
        await sender.forget({back})
        assert 200 == (await fetch(sender, create_request(back, query))).status

    play(story)
    visits = [visit for visit in scripted.visits[before:] if visit.requests]
    assert [False, True, False] == [visit.is_resumed for visit in visits]


def test_a_pin_does_not_stand_for_the_certificate(
    scripted: ScriptedUpstream, play: Callable[..., None], present: str, tmp_path: Path
) -> None:
    """
    Right key, wrong authority: refused as without a pin.
    """
    stranger = ensure_certificates(tmp_path).ca_file.read_text()
    credential = pinned(create_credential(scripted, ca_pem=stranger), present)

    async def story(sender: PooledUpstreams) -> None:
        assert "upstream_certificate" == (await fetch(sender, create_request(credential, b""))).reason

    play(story)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedUpstream]:
    """
    A server that speaks TLS 1.0 and 1.1 alone.
    """
    with run_scripted_upstream(tmp_path_factory.mktemp("old")) as upstream:
        upstream.context.set_ciphers("ALL:@SECLEVEL=0")
        upstream.context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # that it is old is the point
            upstream.context.maximum_version = ssl.TLSVersion.TLSv1_1
        if not _speaks_old_tls(upstream):
            pytest.skip("this OpenSSL has no TLS before 1.2")
        yield upstream


def _shake_hands(upstream: ScriptedUpstream) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context.wrap_socket(socket.create_connection(("127.0.0.1", upstream.port)))


def _speaks_old_tls(upstream: ScriptedUpstream) -> bool:
    try:
        with _shake_hands(upstream) as wrapped:
            return wrapped.version() in {"TLSv1", "TLSv1.1"}
    except OSError:
        return False


def test_old_tls_is_spoken_with_a_pinned_key_alone(old: ScriptedUpstream, play: Callable[..., None]) -> None:
    """
    With the pin a call goes, also without any certificate to trust, and with another key it does not.

    Without a pin the permission means nothing, whatever a row says.
    """
    query = old.add(OK)
    plain = create_credential(old)
    with _shake_hands(old) as wrapped:
        present = find_pin(wrapped.getpeercert(binary_form=True) or b"")
    cases = [
        (pinned(plain, present, allow_old_tls=True), None),
        (pinned(plain, present, allow_old_tls=True, ca_pem=""), None),
        (pinned(plain, STRANGERS, allow_old_tls=True), "upstream_certificate"),
        (pinned(plain, allow_old_tls=True), "upstream_unreachable"),
        (pinned(plain, present), "upstream_unreachable"),
    ]

    async def story(sender: PooledUpstreams) -> None:
        found = [(await fetch(sender, create_request(credential, query))).reason for credential, _ in cases]
        assert [reason for _, reason in cases] == found

    play(story)
