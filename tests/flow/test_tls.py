"""
Both ports over TLS, as `serve` opens them.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest
from certificates import write_certificate
from installation import API, Installation
from scrape import scrape

from gateway.errors import OperatorError
from gateway.tls import ServerTls

if TYPE_CHECKING:
    from pathlib import Path

    from noojee import Noojee


def test_callers_and_operators_are_served_over_tls(installation: Installation, noojee: Noojee) -> None:
    """
    GATEWAY_TLS_CERT_FILE and GATEWAY_TLS_KEY_FILE give both ports TLS; plain HTTP is no longer spoken.
    """
    folder = noojee.simulator.ca_file.parent  # the simulator's own certificate does for ours: it names 127.0.0.1
    certificate, key = folder / "server.pem", folder / "server-key.pem"
    token = installation.add_caller("crm", [("everything", ["*"])])
    context = ssl.create_default_context(cafile=str(noojee.simulator.ca_file))
    with installation.serve(GATEWAY_TLS_CERT_FILE=str(certificate), GATEWAY_TLS_KEY_FILE=str(key)) as gateway:
        assert gateway.ready["callers"].startswith("https://127.0.0.1:")
        assert gateway.ready["admin"].startswith("https://127.0.0.1:")

        caller = http.client.HTTPSConnection("127.0.0.1", gateway.port, context=context, timeout=20)
        caller.request("POST", f"{API}/start?extenOrUniqueId=410", headers={"Authorization": f"Bearer {token}"})
        response = caller.getresponse()
        operator = http.client.HTTPSConnection("127.0.0.1", gateway.admin_port, context=context, timeout=20)
        operator.request("GET", "/readyz")
        ready = operator.getresponse()

        assert 200 == response.status
        assert "Recording started" == json.loads(response.read())["Message"]
        assert "ready" == json.loads(ready.read())["state"]
        caller.close()
        operator.close()
        with socket.create_connection(("127.0.0.1", gateway.port), 20) as plain:
            plain.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")

            assert not plain.recv(1024).startswith(b"HTTP/")


def test_the_certificate_that_is_shown_is_known_also_after_another_was_read(tmp_path: Path) -> None:
    """
    It is by what callers see that an operator must know when it ends.
    """
    files = str(tmp_path / "tls.pem"), str(tmp_path / "tls.key")
    first = write_certificate(tmp_path)
    tls = ServerTls(*files)
    shown_first = tls.certificate
    second = write_certificate(tmp_path, "rsa")
    shown_meanwhile = tls.certificate
    tls.reload(*files)
    (tmp_path / "tls.key").write_text("no key")
    with pytest.raises(OperatorError):
        tls.reload(*files)

    assert [first, first, second] == [shown_first, shown_meanwhile, tls.certificate]


def test_the_end_of_our_certificate_is_told(installation: Installation, noojee: Noojee) -> None:
    """
    That of the certificate which callers are shown, as OpenSSL reads it; nothing where there is none.
    """
    folder = noojee.simulator.ca_file.parent
    certificate, key = folder / "server.pem", folder / "server-key.pem"
    with installation.serve(GATEWAY_TLS_CERT_FILE=str(certificate), GATEWAY_TLS_KEY_FILE=str(key)) as gateway:
        seen = scrape(gateway, noojee.simulator.ca_file)
    with installation.serve() as gateway:
        without = scrape(gateway)

    shown = subprocess.run(
        ["openssl", "x509", "-in", certificate, "-noout", "-enddate"], capture_output=True, text=True, check=True
    ).stdout
    ends_at = ssl.cert_time_to_seconds(shown.strip().removeprefix("notAfter="))
    assert [ends_at] == seen.find("certificate_expiry_timestamp_seconds", worker="worker-0")
    assert [] == without.find("certificate_expiry_timestamp_seconds")
