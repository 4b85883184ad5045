"""
The units of deploy/systemd agree with each other, with the settings and with the command beside them.

Where systemd's own tools are, they read the units too. What it takes to run them, a machine with systemd as its first
process, is not here: docs/recorded-runs/ has what came of that.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from installation import wait_until

from gateway.cli.node import _END_MARGIN_SECONDS
from gateway.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

_EXPOSURE_LIMIT = 2.0
_NEEDS_ANALYZE = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="there is no systemd-analyze here, so the units were not judged by it (Debian's package systemd)",
)


@pytest.fixture
def folder(repository: Path) -> Path:
    """
    Where the units are.
    """
    return repository / "deploy" / "systemd"


def _read_unit(path: Path) -> dict[str, dict[str, list[str]]]:
    """
    Sections, names, and every value that a name is given.
    """
    unit: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = unit.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            section.setdefault(name, []).append(value)
    return unit


def _read_settings(path: Path) -> dict[str, str]:
    """
    Those that are set, and those that are shown.
    """
    return dict(re.findall(r"^#?(GATEWAY_\w+)=(.*)$", path.read_text(), re.MULTILINE))


@_NEEDS_ANALYZE
def test_the_service_is_hardly_exposed(folder: Path) -> None:
    """
    A measure of systemd's own, from 0 to 10, of what a service could do to the machine.
    """
    words = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(folder / "noojee-gateway.service")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r"Overall exposure level for noojee-gateway\.service: ([0-9.]+)", done.stdout)

    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) < _EXPOSURE_LIMIT


@_NEEDS_ANALYZE
def test_systemd_understands_every_line_of_the_units(folder: Path, tmp_path: Path) -> None:
    """
    `systemd-analyze verify` on copies whose program is one that is there.
    """
    for name in ("noojee-gateway.service", "noojee-gateway.socket"):
        text = (folder / name).read_text().replace("/opt/noojee-gateway/bin/noojee-gateway", "/bin/true")
        (tmp_path / name).write_text(text)
    (tmp_path / "noojee-gateway.service.d").mkdir()
    shutil.copy(folder / "egress.conf", tmp_path / "noojee-gateway.service.d")
    words = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(tmp_path / "noojee-gateway.service")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)

    assert [] == [line for line in done.stderr.splitlines() if "noojee-gateway" in line and "Unknown user" not in line]


def test_the_socket_keeps_the_port_whatever_becomes_of_the_service(folder: Path) -> None:
    """
    Neither a service that fails at every start nor one that ends at once makes systemd give the port up.
    """
    service = _read_unit(folder / "noojee-gateway.service")
    socket = _read_unit(folder / "noojee-gateway.socket")

    assert ["0"] == service["Unit"]["StartLimitIntervalSec"]
    assert ["0"] == socket["Socket"]["TriggerLimitIntervalSec"]
    assert ["noojee-gateway.socket"] == service["Unit"]["Requires"]
    assert ["noojee-gateway.socket"] == service["Install"]["Also"]
    assert ["callers"] == socket["Socket"]["FileDescriptorName"]
    assert ["no"] == socket["Socket"]["Accept"]
    assert ["127.0.0.1:8080"] == socket["Socket"]["ListenStream"], "beyond loopback only with TLS, by a person"


def test_the_service_tells_how_it_is_doing(folder: Path) -> None:
    """
    It counts as started when it serves, and a reload of it ends when the gateway says so.
    """
    service = _read_unit(folder / "noojee-gateway.service")["Service"]

    assert ["notify"] == service["Type"]
    assert ["/bin/kill -HUP $MAINPID"] == service["ExecReload"]


def test_the_service_may_end_its_calls_before_it_is_killed(folder: Path, tmp_path: Path) -> None:
    """
    Killed before that, calls would end without an answer and without an outcome.
    """
    [seconds] = _read_unit(folder / "noojee-gateway.service")["Service"]["TimeoutStopSec"]

    assert int(seconds) > Settings(data_dir=tmp_path).drain_timeout.total_seconds() + _END_MARGIN_SECONDS


def test_the_master_key_is_handed_over_under_the_name_that_the_gateway_looks_for(folder: Path) -> None:
    """
    As a credential, to the service and to each verb; no setting names a file that the service's user could read.
    """
    [credential] = _read_unit(folder / "noojee-gateway.service")["Service"]["LoadCredential"]
    settings = _read_settings(folder / "gateway.env")

    assert "master.key:/etc/noojee-gateway/master.key" == credential
    assert f"--property=LoadCredential={credential}" in (folder / "noojee-gateway").read_text()
    assert "GATEWAY_MASTER_KEY_FILE" not in settings
    assert set(settings) <= {f"GATEWAY_{name.upper()}" for name in Settings.model_fields}


def test_verbs_run_as_the_service_does(folder: Path) -> None:
    """
    The same user, settings, data folder and key: what a verb writes the service can write.
    """
    service = _read_unit(folder / "noojee-gateway.service")["Service"]
    verb = dict(re.findall(r"--property=(\w+)=(\S*)", (folder / "noojee-gateway").read_text()))

    for name in ("User", "Group", "UMask", "EnvironmentFile", "LoadCredential", "StateDirectory", "StateDirectoryMode"):
        assert [verb[name]] == service[name], name
    assert _read_settings(folder / "gateway.env")["GATEWAY_DATA_DIR"] == f"/var/lib/{verb['StateDirectory']}"


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no shell here")
def test_the_command_hands_every_word_on_as_it_is(folder: Path, tmp_path: Path, environment: Mapping[str, str]) -> None:
    """
    With a systemd-run and an id that only tell: words with spaces stay words, and `serve` is the service's alone.
    """
    (tmp_path / "systemd-run").write_text(
        '#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done\nshift\nprintf "%s\\n" "$@"\n'
    )
    (tmp_path / "id").write_text("#!/bin/sh\necho ${AS_USER:-0}\n")
    for path in tmp_path.iterdir():
        path.chmod(0o755)

    def run(*words: str, user: str = "0") -> subprocess.CompletedProcess[str]:
        path = {"PATH": f"{tmp_path}:{environment['PATH']}", "AS_USER": user}
        command = ["/bin/sh", str(folder / "noojee-gateway"), *words]
        return subprocess.run(command, env={**environment, **path}, capture_output=True, text=True, check=False)

    done = run("caller", "add", "a b", "--from", "*")

    assert "/opt/noojee-gateway/bin/noojee-gateway\ncaller\nadd\na b\n--from\n*\n" == done.stdout
    assert (1, 2) == (run("caller", "list", user="1000").returncode, run("serve").returncode)


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no shell here")
@pytest.mark.parametrize(
    ("login_uid", "sudo_uid", "told"),
    [("1000", "1001", "1000"), ("4294967295", "1001", "1001"), ("4294967295", None, "0"), (None, None, "0")],
)
def test_the_command_hands_over_who_called(
    login_uid: str | None,
    sudo_uid: str | None,
    told: str,
    folder: Path,
    tmp_path: Path,
    environment: Mapping[str, str],
) -> None:
    """
    The kernel's word goes before sudo's, and without either it was root.
    """
    programs = {
        "systemd-run": 'printf "%s\\n" "$@"',
        "id": "echo 0",
        "cat": f"echo {login_uid}" if login_uid is not None else "exit 1",
    }
    for name, does in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    settings = {"PATH": f"{tmp_path}:{environment['PATH']}"} | ({"SUDO_UID": sudo_uid} if sudo_uid else {})
    command = ["/bin/sh", str(folder / "noojee-gateway"), "caller", "list"]
    kept = {name: value for name, value in environment.items() if name != "SUDO_UID"}
    done = subprocess.run(command, env={**kept, **settings}, capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr)
    assert f"--property=SetCredential=operator:{told}" in done.stdout.splitlines()


@pytest.mark.skipif(
    os.geteuid() != 0 or not os.access("/sys/fs/cgroup", os.W_OK), reason="the script needs root and control groups"
)
@pytest.mark.parametrize("at_work", ["debootstrap", "systemctl", "try-inside.sh"])
def test_a_trial_that_is_ended_leaves_no_machine_running(
    at_work: str, folder: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    """
    With tools that only wait or do nothing, ended by SIGTERM whatever it waits for.
    """
    begun = tmp_path / "begun"
    waits = f"case $* in *{at_work}*) echo $$ >> {begun}; exec sleep 600;; esac"
    programs = {
        # The machine's first process waits as long as it is let; what makes a machine only makes its folders.
        "unshare": f"case $* in *--net*) echo $$ >> {tmp_path}/machine; exec sleep 600;; esac\n{waits}\n"
        f"mkdir -p {tmp_path}/storage/machine.new/etc {tmp_path}/storage/machine.new/root",
        "nsenter": waits,
        "pgrep": 'echo "$2"',
        "debootstrap": "",
        "ip": "",
    }
    (tmp_path / "bin").mkdir()
    for name, does in programs.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "install.sh").touch()
    command = ["/bin/sh", f"{folder}/try-service.sh", "--storage", f"{tmp_path}/storage", f"{tmp_path}/bundle"]
    path = {"PATH": f"{tmp_path}/bin:{environment['PATH']}"}
    with subprocess.Popen(command, env={**environment, **path}, stdout=subprocess.DEVNULL) as running:
        wait_until(lambda: begun.exists() and begun.read_text().endswith("\n"), "it has come so far")
        running.terminate()
        code = running.wait(30)
    started = [
        int(text) for path in (begun, tmp_path / "machine") if path.exists() for text in path.read_text().split()
    ]

    assert 143 == code
    assert [] == [process for process in started if Path(f"/proc/{process}").exists()]
