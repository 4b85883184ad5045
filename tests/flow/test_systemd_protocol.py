"""
What systemd and a node tell each other: a socket that is handed over, and how the node is doing.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from installation import API, Installation, wait_until

if TYPE_CHECKING:
    from pathlib import Path

START = f"{API}/start?extenOrUniqueId=410"
HAND_OVER = """
import os, sys
number, count, *words = sys.argv[1:]
if number != "-":
    os.dup2(int(number), 3)
pid = os.getpid() if count != "other" else 1
os.environ |= {"LISTEN_PID": str(pid), "LISTEN_FDS": "1" if count == "other" else count, "LISTEN_FDNAMES": "callers"}
os.execv(words[0], words)
"""


def hand_over(descriptor: int | str, count: str = "1") -> list[str]:
    """
    The words of a launcher that does as systemd does.
    """
    return [sys.executable, "-c", HAND_OVER, str(descriptor), count]


def test_a_node_serves_on_the_socket_that_systemd_holds(installation: Installation) -> None:
    """
    GATEWAY_PORT is not used. A restart keeps the socket; who calls while no node runs is answered by the next.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        launcher, descriptors = hand_over(held.fileno()), [held.fileno()]
        with installation.serve(launcher, descriptors, GATEWAY_PORT="1") as gateway:
            assert port == gateway.port
            assert 200 == gateway.call(START, token).status
            assert 0 == installation.verb("restart").returncode
            assert 400 == gateway.call(START, token).status  # it is recording already
        with socket.create_connection(("127.0.0.1", port), 30) as early:
            request = (
                f"POST {API}/stop?extenOrUniqueId=410 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
            )
            early.sendall(request.encode())
            with installation.serve(launcher, descriptors):
                assert early.recv(65536).startswith(b"HTTP/1.1 200")


def test_what_is_meant_for_another_process_is_left_alone(installation: Installation) -> None:
    """
    LISTEN_PID says for whom it is: a shell between systemd and us, as a rule.
    """
    with (
        socket.create_server(("127.0.0.1", 0)) as held,
        installation.serve(hand_over(held.fileno(), "other"), [held.fileno()]) as gateway,
    ):
        assert held.getsockname()[1] != gateway.port


@pytest.mark.parametrize(
    ("kind", "count", "reason", "sentence"),
    [
        ("datagram", "1", "port_unavailable", "LISTEN_FDS hands over no listening TCP socket."),
        ("unix", "1", "port_unavailable", "LISTEN_FDS hands over no listening TCP socket."),
        ("bound", "1", "port_unavailable", "LISTEN_FDS hands over no listening TCP socket."),
        ("none", "1", "port_unavailable", "LISTEN_FDS hands over no listening TCP socket."),
        ("loopback", "2", "port_unavailable", "LISTEN_FDS hands over more than one socket."),
        ("any", "1", "plaintext_refused", "The address of the socket from LISTEN_FDS is 0.0.0.0, where tokens would"),
    ],
)
def test_another_kind_of_socket_is_refused(
    installation: Installation, tmp_path: Path, kind: str, count: str, reason: str, sentence: str
) -> None:
    """
    With a sentence, before anything is served.
    """
    with make_socket(kind, tmp_path) as held:
        words = [*hand_over("-" if kind == "none" else held.fileno(), count), sys.executable, "-m", "gateway", "serve"]
        environment = installation._environment() | {"GATEWAY_PORT": "0", "GATEWAY_ADMIN_PORT": "0"}
        done = subprocess.run(
            [*words, "--json"],
            env=environment,
            pass_fds=[held.fileno()],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    error = json.loads(done.stderr.splitlines()[-1])["error"]
    assert (1, "", reason) == (done.returncode, done.stdout, error["reason"])
    assert sentence in error["detail"]


def make_socket(kind: str, folder: Path) -> socket.socket:
    """
    One of a kind.
    """
    if kind == "unix":
        made = socket.socket(socket.AF_UNIX)
        made.bind(str(folder / "socket"))
        made.listen()
        return made
    if kind in {"loopback", "any"}:
        return socket.create_server(("0.0.0.0" if kind == "any" else "127.0.0.1", 0))  # noqa: S104 - to be refused
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM)
    made.bind(("127.0.0.1", 0))
    return made


@pytest.mark.parametrize("is_abstract", [False, True])
def test_systemd_is_told_how_the_node_is_doing(
    installation: Installation, tmp_path: Path, *, is_abstract: bool
) -> None:
    """
    READY with the ready line, RELOADING and READY around a reload, also around one that fails, STOPPING at the order.
    """
    if is_abstract and not sys.platform.startswith("linux"):
        pytest.skip("abstract sockets are Linux's")
    address = f"@noojee-gateway-test-{tmp_path.name}-{id(tmp_path)}" if is_abstract else str(tmp_path / "notify")
    file = installation.data_dir / "gateway.toml"
    file.write_text("")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{address[1:]}" if is_abstract else address)
        manager.settimeout(20)

        def hear() -> list[str]:
            lines = manager.recv(4096).decode().split("\n")
            return [line.partition("=")[0] if line.startswith("MONOTONIC_USEC=") else line for line in lines]

        with installation.serve(NOTIFY_SOCKET=address, GATEWAY_CONFIG=str(file)) as gateway:
            assert ["READY=1", "STATUS=Serving"] == hear()
            for text in ("", "wrong = 1\n"):
                file.write_text(text)
                gateway.process.send_signal(signal.SIGHUP)
                assert ["RELOADING=1", "MONOTONIC_USEC", "STATUS=Reloading"] == hear()
                assert ["READY=1", "STATUS=Serving"] == hear()
            gateway.process.terminate()
            assert ["STOPPING=1", "STATUS=Draining"] == hear()


def test_a_manager_that_is_gone_is_no_trouble(installation: Installation, tmp_path: Path) -> None:
    """
    Its socket is not there: the node serves all the same.
    """
    with installation.serve(NOTIFY_SOCKET=str(tmp_path / "gone")) as gateway:
        gateway.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "reloaded: " in installation.log(), "it reloads")

        assert 200 == gateway.call("/readyz", method="GET").status
