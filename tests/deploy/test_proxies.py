"""
nginx and Caddy before the gateway, as deploy/ configures them: real programs, a tiny gateway behind them.

What is looked at is what they must not do: show a token in a log, whatever goes wrong; send a call twice; believe a
caller's own word about its address; change the bytes of a target.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import ssl
import threading
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from noojee import Noojee
    from program import Program

    Starter = Callable[[Sequence[str], Mapping[str, str]], Program]

_TOKEN = "njg_MARKEDMARKED_markedmarkedmarkedmarkedmarked00_000000"
_TARGET = f"/servicemanager/rest/CallManagementAPI/dial?apiKey={_TOKEN}&extenOrUniqueId=SIP%2F410&tag=a;b//c"
_NAMES = ("nginx", "caddy")


class TinyGateway:
    """
    Answers every request, or closes the connection instead; keeps each head.
    """

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.answers = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """
        Nothing listens any more.
        """
        with suppress(OSError):  # a second time
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += connection.recv(65536)
                self.heads.append(head)
                if self.answers:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Request-Id: r1\r\nContent-Length: 2\r\n\r\nok")


@dataclass
class Proxy:
    """
    A running proxy.

    Attributes:
        folder: Everything that it writes is below.
    """

    port: int
    behind: TinyGateway
    folder: Path
    program: Program
    trust: ssl.SSLContext = field(repr=False)

    def call(self, target: str = _TARGET, body: bytes = b"") -> int:
        """
        The status of one call with the token in all three places, and a forged address.
        """
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=self.trust)
        headers = {"Authorization": f"Bearer {_TOKEN}", "X-API-Key": _TOKEN, "X-Forwarded-For": "10.9.9.9"}
        with closing(connection):
            connection.request("POST", target, body=body, headers=headers | {"Forwarded": "for=10.9.9.9"})
            return connection.getresponse().status

    def send(self, request: bytes) -> bytes:
        """
        What comes back for bytes that no client library would send.
        """
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=20) as plain,
            self.trust.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            secure.sendall(request)
            return secure.recv(65536)

    def read_everything(self) -> str:
        """
        All that it wrote anywhere.
        """
        files = [path for path in self.folder.rglob("*") if path.is_file() and path.suffix != ".conf"]
        logged = [path.read_text(errors="replace") for path in files]
        return "".join([*logged, self.program.output, self.program.errors])


def _configure_nginx(text: str, folder: Path, changed: Mapping[str, str]) -> list[str]:
    _write(folder / "site.conf", text, {"listen 443 ssl": f"listen 127.0.0.1:{changed['port']} ssl", **changed})
    places = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log info;"
        f"events {{}} http {{ access_log {folder}/other.log; {places} include {folder}/site.conf; }}"
    )
    return ["nginx", "-p", str(folder), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]


def _configure_caddy(text: str, folder: Path, changed: Mapping[str, str]) -> list[str]:
    # By its address, so that a client that names no server is served too.
    site = {"\ngateway.example.internal {": f"\nhttps://127.0.0.1:{changed['port']} {{"}
    _write(folder / "site.conf", text, {**site, "admin off": "admin off\n\tauto_https disable_redirects", **changed})
    return ["caddy", "run", "--config", str(folder / "site.conf"), "--adapter", "caddyfile"]


def _write(path: Path, text: str, changed: Mapping[str, str]) -> None:
    for old, new in changed.items():
        assert old == "port" or old in text, f"{old!r} is not in the configuration any more"
        text = text if old == "port" else text.replace(old, new)
    path.write_text(text)


def _find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


@pytest.fixture(params=_NAMES)
def proxy(
    request: pytest.FixtureRequest, start: Starter, repository: Path, running_noojee: Noojee, short_folder: Path
) -> Iterator[Proxy]:
    """
    Each of the two on a free port, with the simulator's certificate, writing into one folder.
    """
    name: str = request.param
    if shutil.which(name) is None:
        pytest.skip(f"there is no {name} here, so its configuration was not tried (Debian's package {name})")
    simulated = running_noojee.simulator.ca_file.parent
    behind = TinyGateway()
    port = _find_free_port()
    changed = {
        "port": str(port),
        "127.0.0.1:8080": f"127.0.0.1:{behind.port}",
        "/etc/ssl/noojee-gateway/tls.pem": str(simulated / "server.pem"),
        "/etc/ssl/noojee-gateway/tls.key": str(simulated / "server-key.pem"),
        f"/var/log/{name}/": f"{short_folder}/",
    }
    configure = {"nginx": _configure_nginx, "caddy": _configure_caddy}[name]
    file = {"nginx": "deploy/nginx/noojee-gateway.conf", "caddy": "deploy/caddy/Caddyfile"}[name]
    words = configure((repository / file).read_text(), short_folder, changed)
    home = {"XDG_DATA_HOME": str(short_folder), "XDG_CONFIG_HOME": str(short_folder)}
    trust = ssl.create_default_context(cafile=str(simulated / "ca.pem"))
    with ExitStack() as stack:
        stack.callback(behind.close)
        program = start(words, home)
        stack.callback(program.kill)
        _wait_until_it_listens(program, port)
        yield Proxy(port, behind, short_folder, program, trust)


def _wait_until_it_listens(program: Program, port: int) -> None:
    for _ in range(400):
        assert program.process.poll() is None, program.errors
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        threading.Event().wait(0.02)
    raise AssertionError(program.errors)


def test_a_call_passes_as_it_was_with_the_callers_true_address(proxy: Proxy) -> None:
    """
    The target's bytes are those that were sent; the forged address is gone, and the socket's stands in its place.
    """
    status = proxy.call()
    [head] = proxy.behind.heads
    lines = head.decode().split("\r\n")
    forwarded = [line.partition(": ")[2] for line in lines if line.lower().startswith("x-forwarded-for:")]

    assert 200 == status
    assert f"POST {_TARGET} HTTP/1.1" == lines[0]
    assert ["127.0.0.1"] == forwarded
    assert b"10.9.9.9" not in head
    assert f"\r\nAuthorization: Bearer {_TOKEN}\r\n".encode() in head


def test_a_call_without_an_answer_is_not_sent_again(proxy: Proxy) -> None:
    """
    The gateway's connection closes after the request: the caller gets 502, and there was one request.
    """
    proxy.behind.answers = False

    assert 502 == proxy.call()
    assert 1 == len(proxy.behind.heads)


def test_no_token_is_in_any_log_whatever_goes_wrong(proxy: Proxy) -> None:
    """
    Served, refused by the proxy itself, unanswered, and with nobody behind: what it writes has the path and no query.
    """
    statuses = [proxy.call()]
    proxy.send(f"POST {_TARGET} HTTP/1.1\r\nHost: a\r\nno header\r\n\r\n".encode())
    proxy.send(f"POST {_TARGET}{'x' * 70_000} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    statuses.append(proxy.call(body=b"x" * 3_000_000))
    proxy.behind.answers = False
    statuses.append(proxy.call())
    proxy.behind.close()
    statuses.append(proxy.call())
    proxy.program.interrupt()
    written = proxy.read_everything()

    assert 200 == statuses[0]
    assert [502, 502] == statuses[2:]
    assert "/servicemanager/rest/CallManagementAPI/dial" in written, "calls are logged"
    assert _TOKEN not in written
    assert "MARKED" not in written
    assert "apiKey" not in written
