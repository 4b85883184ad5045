"""
The demo as a newcomer meets it: started, pasted from, ended by Ctrl-C.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from program import Program

    Starter = Callable[[Sequence[str], Mapping[str, str]], Program]

_COMMAND = "noojee-gateway"


def _find_keys(folder: Path) -> list[str]:
    keys = [path.read_text().strip() for path in folder.glob("noojee-demo-*/noojee/*.key")]
    assert len(keys) == 2, "the simulator has a global key and that of one user"
    return keys


def _paste(line: str, environment: Mapping[str, str], folder: Path) -> str:
    """
    What a line pasted into a terminal elsewhere shows.
    """
    shell = ["/bin/sh", "-c", line]
    done = subprocess.run(shell, capture_output=True, text=True, env=environment, cwd=folder, timeout=30, check=False)
    assert 0 == done.returncode, done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def occupied() -> Iterator[int]:
    """
    The demo's own port for callers, taken: by us, or by whoever had it before.
    """
    with contextlib.closing(socket.socket()) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            taken.bind(("127.0.0.1", 8080))
            taken.listen()
        yield 8080


@pytest.mark.skipif(shutil.which("curl") is None, reason="the demo's lines are curl's, and there is no curl here")
def test_the_lines_of_the_demo_do_what_it_says(
    start: Starter, short_folder: Path, environment: Mapping[str, str]
) -> None:
    """
    A recording starts and stops, a call is refused, the journal tells of all three, and no Noojee key shows.
    """
    demo = start([_COMMAND, "demo", "--json"], {"TMPDIR": str(short_folder)})
    demo.wait_for("}\n")
    ready = json.loads(demo.output)

    assert ["event", "callers", "admin", "pid", "token", "curl", "audit"] == list(ready)
    assert "ready" == ready["event"]
    assert demo.process.pid == ready["pid"]

    begun, stopped, refused = (_paste(line, environment, short_folder) for line in ready["curl"])

    assert begun.startswith("HTTP/1.1 200 ")
    assert begun.endswith('{"Message": "Recording started", "Code": 0}')
    assert stopped.startswith("HTTP/1.1 200 ")
    assert stopped.endswith('{"Message": "Recording stopped", "Code": 0}')
    assert refused.startswith("HTTP/1.1 403 ")
    assert '"reason":"operation_not_granted"' in refused

    shown = _paste(ready["audit"], environment, short_folder)
    told = [re.sub(r"^\S+ ", "", line) for line in shown.splitlines() if " call." in line]
    expected = (
        ("call.intended CallManagementAPI/start extenOrUniqueId=410", "decision=allow"),
        ("call.ended CallManagementAPI/start", "outcome=succeeded"),
        ("call.intended CallManagementAPI/stop extenOrUniqueId=410", "decision=allow"),
        ("call.ended CallManagementAPI/stop", "outcome=succeeded"),
        ("call.denied CallManagementAPI/dial", "reason=operation_not_granted"),
    )

    assert len(expected) == len(told), shown
    for line, (beginning, fact) in zip(told, expected, strict=True):
        assert line.startswith(beginning)
        assert fact in line.split(" ")

    keys = _find_keys(short_folder)

    assert 0 == demo.interrupt()
    written = f"{demo.output}{demo.errors}{begun}{stopped}{refused}{shown}"
    assert [] == [key for key in keys if key in written]
    assert ready["token"] not in demo.errors + shown
    assert [] == list(short_folder.iterdir()), "the demo's data is gone"


def test_the_demo_tells_its_lines_in_plain_text_and_which_port_it_took(
    start: Starter, short_folder: Path, occupied: int
) -> None:
    """
    Without --json: the ready line, a token, three curl lines, and one for the journal. A busy port is told, not fatal.
    """
    demo = start([_COMMAND, "demo"], {"TMPDIR": str(short_folder)})
    demo.wait_for("Ctrl-C ends the demo")
    ready, token, *curl, audit = demo.output.splitlines()
    address = re.fullmatch(r"ready callers=(http://127\.0\.0\.1:([0-9]+)) admin=http://127\.0\.0\.1:[0-9]+", ready)

    assert address is not None
    assert occupied < int(address[2])
    assert f"Port {occupied} is in use; the demo takes {address[2]}." in demo.errors
    assert re.fullmatch(r"njg_\w{12}_\w{32}_\w{6}", token)
    assert 3 == len(curl)
    assert all(line.startswith("curl ") and token in line and address[1] in line for line in curl)
    assert audit.endswith(" audit tail")
    assert "WARNING" not in demo.errors

    assert 0 == demo.interrupt(signal.SIGTERM)
    assert "Traceback" not in demo.errors
    assert [] == list(short_folder.iterdir())


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_make_run_is_the_demo_and_ends_with_ctrl_c(start: Starter, short_folder: Path) -> None:
    """
    Ctrl-C in a terminal reaches make and the demo. What make says of it is make's; the demo leaves nothing behind.
    """
    # The environment that runs this test stands for .venv, which make must neither judge nor make anew.
    words = ["make", "--assume-old=.venv/.ready", f"BIN={Path(sys.executable).parent}", "run"]
    make = start(words, {"TMPDIR": str(short_folder)})
    make.wait_for("Ctrl-C ends the demo")

    assert make.output.startswith("ready callers=http://127.0.0.1:")

    make.interrupt()
    make.wait_for_group()
    assert "Traceback" not in make.errors
    assert [] == list(short_folder.iterdir())
