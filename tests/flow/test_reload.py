"""
SIGHUP: certificates and some settings are read again by a node that goes on serving.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from certificates import KINDS, find_certificate, open_tls, write_certificate
from installation import API, Gateway, Installation, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START = f"{API}/start?extenOrUniqueId=410"


def reload(installation: Installation, gateway: Gateway) -> str:
    """
    SIGHUP. Returns what the node has said of it.
    """
    before = len(installation.log())
    gateway.process.send_signal(signal.SIGHUP)
    ends = ("reloaded: certificates", "the settings were not reloaded")
    wait_until(lambda: any(end in installation.log()[before:] for end in ends), "it says what came of it")
    return installation.log()[before:]


def set_certificate(installation: Installation, folder: Path) -> None:
    """
    Both ports are to speak TLS with what `write_certificate` writes there.
    """
    installation.environment |= {
        "GATEWAY_TLS_CERT_FILE": str(folder / "tls.pem"),
        "GATEWAY_TLS_KEY_FILE": str(folder / "tls.key"),
    }


def exchange(connection: socket.socket, token: str) -> str:
    """
    A call over a connection that is kept; the answer's first line.
    """
    request = f"POST {START} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    connection.sendall(request.encode())
    return connection.recv(65536).split(b"\r\n", 1)[0].decode()


def test_new_connections_see_the_new_certificate_and_open_ones_go_on(
    installation: Installation, tmp_path: Path
) -> None:
    """
    On both ports, whatever kind of key each has: the one before is shown to nobody any more.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    first = write_certificate(tmp_path, KINDS[0])
    set_certificate(installation, tmp_path)
    with installation.serve() as gateway, open_tls(gateway.port) as kept:
        ports = (gateway.port, gateway.admin_port)
        assert [first, first] == [find_certificate(port) for port in ports]
        assert "HTTP/1.1 200 OK" == exchange(kept, token)
        for kind in reversed(KINDS):
            renewed = write_certificate(tmp_path, kind)

            told = reload(installation, gateway)

            assert "INFO gateway.supervisor.renewals reloaded: certificates and keys were read again" in told
            assert [renewed, renewed] == [find_certificate(port) for port in ports]
            assert exchange(kept, token).startswith("HTTP/1.1 ")
        os.kill(gateway.worker_pid, signal.SIGKILL)
        assert renewed == wait_until(lambda: find_certificate(gateway.port), "a worker is there again")


def test_a_broken_certificate_keeps_the_old(installation: Installation, tmp_path: Path) -> None:
    """
    A key that is another's, or a file that is gone: an error is logged, and the node serves as before.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    certificate = write_certificate(tmp_path)
    key = (tmp_path / "tls.key").read_bytes()
    set_certificate(installation, tmp_path)
    with installation.serve() as gateway:
        (tmp_path / "other").mkdir()
        write_certificate(tmp_path / "other")
        for spoil in (
            lambda: (tmp_path / "tls.key").write_bytes((tmp_path / "other" / "tls.key").read_bytes()),
            (tmp_path / "tls.key").unlink,
        ):
            spoil()

            told = reload(installation, gateway)

            assert "ERROR gateway.supervisor.renewals the settings were not reloaded, the old ones stay" in told
            assert "tls.key" in told
            assert certificate == find_certificate(gateway.port)
            with open_tls(gateway.port) as connection:
                assert exchange(connection, token).startswith("HTTP/1.1 ")
        (tmp_path / "tls.key").write_bytes(key)
        assert "reloaded: certificates" in reload(installation, gateway)


def test_settings_that_may_change_do_and_others_are_named(installation: Installation) -> None:
    """
    What is named stays as it is, each time anew; what is wrong changes nothing at all.
    """
    file = installation.data_dir / "gateway.toml"
    file.write_text('log_level = "info"\n')
    with installation.serve(GATEWAY_CONFIG=str(file)) as gateway:
        file.write_text('log_level = "warning"\nkeep_alive_timeout = "1s"\nreply_timeout = "9s"\nport = 1\n')
        gateway.process.send_signal(signal.SIGHUP)
        named = "GATEWAY_REPLY_TIMEOUT was changed and stays as it is until `noojee-gateway restart`"
        wait_until(lambda: named in installation.log(), "it is read")
        # GATEWAY_PORT stands in the environment, which wins.
        assert "GATEWAY_PORT" not in installation.log()
        with gateway_connection(gateway) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            assert b"" == connection.recv(1)  # after a second, as it is in force now
        # At the level of warnings nobody hears of the good end, so the next says more.
        file.write_text('log_level = "info"\nkeep_alive_timeout = "1s"\nnode = "other"\n')

        told = reload(installation, gateway)

        assert "settings changed: GATEWAY_LOG_LEVEL\n" in told
        assert "WARNING gateway.supervisor.renewals GATEWAY_NODE was changed and stays as it is until the" in told
        assert "GATEWAY_REPLY_TIMEOUT" not in told
        file.write_text('log_level = "loud"\n')
        told = reload(installation, gateway)
        assert "ERROR gateway.supervisor.renewals the settings were not reloaded, the old ones stay in force" in told
        assert "`log_level` in the file named by GATEWAY_CONFIG: must be 'debug', 'info', 'warning' or 'error'" in told
        assert 200 == gateway.call("/readyz", method="GET").status


def gateway_connection(gateway: Gateway) -> socket.socket:
    """
    A plain connection to the callers' port.
    """
    return socket.create_connection(("127.0.0.1", gateway.port), 10)


def test_a_port_does_not_begin_to_speak_tls(installation: Installation, tmp_path: Path) -> None:
    """
    That callers are to use another scheme is no change while they call.
    """
    write_certificate(tmp_path)
    file = installation.data_dir / "gateway.toml"
    file.write_text("")
    with installation.serve(GATEWAY_CONFIG=str(file)) as gateway:
        file.write_text(f'tls_cert_file = "{tmp_path / "tls.pem"}"\ntls_key_file = "{tmp_path / "tls.key"}"\n')

        told = reload(installation, gateway)

        for name in ("GATEWAY_TLS_CERT_FILE", "GATEWAY_TLS_KEY_FILE"):
            assert f"{name} was changed and stays as it is until the gateway is stopped and started" in told
        assert 200 == gateway.call("/readyz", method="GET").status


def test_a_reload_tells_that_less_is_told_from_now_on(installation: Installation) -> None:
    """
    The line about a renewal is seen by whoever saw what went before it or is to see what follows, and then no more.
    """
    file = installation.data_dir / "gateway.toml"
    file.write_text("")
    with installation.serve(GATEWAY_CONFIG=str(file)) as gateway:
        for level in ("warning", "info", "warning"):
            file.write_text(f'log_level = "{level}"\n')
            assert "read again; settings changed: GATEWAY_LOG_LEVEL\n" in reload(installation, gateway)
        before = len(installation.log())
        gateway.process.send_signal(signal.SIGHUP)
        assert 0 == installation.verb("restart").returncode, "it comes after the reload"
        assert "" == installation.log()[before:], "from warnings to warnings"
        file.write_text('log_level = "info"\n')
        assert 0 == installation.verb("restart").returncode
        file.write_text('log_level = "error"\n')
        assert 0 == installation.verb("restart").returncode

        told = installation.log()[before:]

    assert 2 == told.count("INFO gateway.supervisor.renewals the worker was replaced: ")


@pytest.mark.skipif(
    not 0 < resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2 * 999_999,
    reason="the limit of open files is too high here for any setting to go beyond it",
)
def test_the_limit_of_open_files_is_told_once(installation: Installation) -> None:
    """
    And again when it is another number of connections that it does not allow.
    """
    file = installation.data_dir / "gateway.toml"
    file.write_text("max_connections = 1_000_000\n")
    with installation.serve(GATEWAY_CONFIG=str(file)) as gateway:
        assert 1 == installation.log().count("WARNING gateway.cli.node the limit of ")
        assert "the limit of " not in reload(installation, gateway)
        before = len(installation.log())
        assert 0 == installation.verb("restart").returncode
        assert "the limit of " not in installation.log()[before:]
        file.write_text("max_connections = 999_999\n")
        assert "and not the 999999 of GATEWAY_MAX_CONNECTIONS" in reload(installation, gateway)


IN_A_TERMINAL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
if sys.argv[1] == "nohup":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, "-m", "gateway", "serve"])
"""


@contextmanager
def serve_in_terminal(installation: Installation, how: str = "") -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """
    A ready `serve` as the leader of a terminal's session, perhaps under `nohup`; and the terminal's other end.
    """
    near, far = os.openpty()
    environment = installation._environment() | {"GATEWAY_PORT": "0", "GATEWAY_ADMIN_PORT": "0"}
    with (installation.data_dir / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", IN_A_TERMINAL, how],
            stdin=far,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    os.close(far)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"ready ")
        yield process, near
        process.terminate()


def test_the_end_of_its_terminal_ends_a_node(installation: Installation) -> None:
    """
    The same signal is an order to reload as long as the terminal is there.
    """
    with serve_in_terminal(installation) as (process, terminal):
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "reloaded: " in installation.log(), "it reloads")
        assert process.poll() is None

        os.close(terminal)

        assert 0 == process.wait(20)


def test_the_end_of_a_terminal_is_nothing_to_a_node_under_nohup(installation: Installation) -> None:
    """
    Which starts programs with this signal ignored: it is an order to reload then, too.
    """
    with serve_in_terminal(installation, "nohup") as (process, terminal):
        os.close(terminal)
        wait_until(lambda: "reloaded: " in installation.log(), "it reloads")

        assert process.poll() is None
