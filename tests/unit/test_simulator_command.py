"""
The verb `simulate` as a process: ready line, signals, refusals.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.simulator import Simulator

COMMAND = [sys.executable, "-m", "gateway.simulator"]


@contextlib.contextmanager
def simulate(*options: str) -> Iterator[subprocess.Popen[str]]:
    """
    The verb as a process, on a free port; ended in any case.
    """
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def read_ready_line(process: subprocess.Popen[str]) -> str:
    """
    The first line of standard output.
    """
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_ends_with_0(number: signal.Signals) -> None:
    """
    The JSON ready line names everything one needs for a call; the throw-away folder goes with the process.
    """
    with simulate("--json") as process:
        ready = json.loads(read_ready_line(process))
        assert set(ready) == {"event", "url", "ca_file", "global_key_file", "user_keys"}
        assert ready["event"] == "ready"
        context = ssl.create_default_context(cafile=ready["ca_file"])
        key = Path(ready["user_keys"]["alice"]).read_text().strip()
        path = "/servicemanager/rest/CampaignAPI/getCampaignTemplateList"
        with httpx2.Client(verify=context, trust_env=False) as client:
            assert client.post(ready["url"] + path, params={"apiKey": key}).status_code == 200
            process.send_signal(number)
            assert process.wait(10) == 0
        assert not Path(ready["ca_file"]).parent.exists()
        assert process.communicate() == ("", "")


def test_the_plain_ready_line_and_a_folder_that_stays(tmp_path: Path) -> None:
    """
    One line; the keys are still there for the next time.
    """
    with simulate("--data-dir", str(tmp_path / "data")) as process:
        line = read_ready_line(process)
        process.terminate()
        assert process.wait(10) == 0
    match = re.fullmatch(r"ready url=https://127\.0\.0\.1:\d+ ca_file=(\S+) global_key_file=(\S+)\n", line)
    assert match
    assert [Path(match[1]), Path(match[2])] == [tmp_path / "data" / "ca.pem", tmp_path / "data" / "global.key"]
    assert Path(match[2]).exists()


def run(*options: str) -> subprocess.CompletedProcess[str]:
    """
    The verb when it must end by itself.
    """
    return subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=20, check=False)


def test_a_taken_port_is_told_and_ends_with_1(simulator: Simulator) -> None:
    """
    With the option that helps; as JSON when asked for.
    """
    port = simulator.url.rpartition(":")[2]
    ended = run("--port", port)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"port {port} of 127.0.0.1 or ::1: address already in use; choose another with --port" in ended.stderr
    assert "Traceback" not in ended.stderr
    ended = run("--port", port, "--json")
    assert ended.returncode == 1
    error = json.loads(ended.stderr)["error"]
    assert error["reason"] == "simulator_not_started"
    assert "--port" in error["detail"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--allow", "10.0.0.0/33"], "network_malformed"),
        (["--allow", "127.0.0.1", "--allow", "everywhere"], "network_malformed"),
        (["--port", "65536"], "port_malformed"),
    ],
)
def test_an_unreadable_option_ends_with_2(options: list[str], reason: str) -> None:
    """
    A sentence, or JSON when asked for.
    """
    ended = run(*options, "--json")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert json.loads(ended.stderr)["error"]["reason"] == reason


def test_a_folder_that_cannot_be_used_ends_with_1(tmp_path: Path) -> None:
    """
    A file in its place, or a key file without a key.
    """
    (tmp_path / "file").touch()
    ended = run("--port", "0", "--data-dir", str(tmp_path / "file"))
    assert ended.returncode == 1
    assert f"{tmp_path / 'file'}: File exists" in ended.stderr
    (tmp_path / "global.key").touch()
    ended = run("--port", "0", "--data-dir", str(tmp_path))
    assert ended.returncode == 1
    assert "does not hold an API key" in ended.stderr


def test_it_refuses_whom_the_white_list_lacks() -> None:
    """
    `--allow` stands in place of loopback, also for the machine's own calls.
    """
    with simulate("--json", "--allow", "192.0.2.0/24", "--allow", "198.51.100.7") as process:
        ready = json.loads(read_ready_line(process))
        context = ssl.create_default_context(cafile=ready["ca_file"])
        with httpx2.Client(verify=context, trust_env=False) as client:
            assert client.post(ready["url"] + "/servicemanager/rest/Time").status_code == 403
        process.terminate()
        assert process.wait(10) == 0
