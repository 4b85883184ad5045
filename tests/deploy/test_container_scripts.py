"""
What runs inside the container beside the gateway, run here without one: the demo's script and the health check.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from installation import Gateway
    from program import Program

    Starter = Callable[[Sequence[str], Mapping[str, str]], Program]

_DEMO = "deploy/container/demo.sh"


def _check_health(
    repository: Path, environment: Mapping[str, str], settings: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", repository / "deploy/container/healthcheck.py"],
        env={**environment, **settings},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.skipif(shutil.which("curl") is None, reason="the demo's lines are curl's, and there is no curl here")
def test_the_demo_of_a_container_prints_lines_that_do_what_it_says(
    start: Starter, short_folder: Path, environment: Mapping[str, str]
) -> None:
    """
    A recording starts and stops, a call is refused, and the line for the journal names a service that there is.
    """
    settings = {"GATEWAY_DATA_DIR": str(short_folder / "data"), "GATEWAY_PORT": "0", "GATEWAY_ADMIN_PORT": "0"}
    demo = start(["/bin/sh", _DEMO], {**settings, "GATEWAY_JOURNAL_RESERVE": "1MiB", "TMPDIR": str(short_folder)})
    demo.wait_for("ready callers=")
    told, address = demo.output.split("ready callers=")
    lines = [line for line in told.splitlines() if line.startswith("curl ")]
    shown = []
    for line in lines:
        here = line.replace("http://127.0.0.1:8080", address.split()[0])
        words = ["/bin/sh", "-c", here.replace("curl -i", "curl -sS")]
        shown.append(subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout)

    assert '{"Message": "Recording started", "Code": 0}' == shown[0]
    assert '{"Message": "Recording stopped", "Code": 0}' == shown[1]
    assert '"reason":"operation_not_granted"' in shown[2]
    assert re.search(r"^docker compose --profile demo exec demo noojee-gateway audit tail$", told, re.MULTILINE)
    assert 0 == demo.interrupt()


def test_the_health_check_asks_where_the_settings_say_that_callers_are_served(
    gateway: Gateway, repository: Path, environment: Mapping[str, str]
) -> None:
    """
    `ready` and 0 from a node that serves, whatever its port; 1 and why when nothing answers or no setting is right.
    """
    port = gateway.ready["callers"].rpartition(":")[2]
    listens_everywhere = {"GATEWAY_HOST": "0.0.0.0", "GATEWAY_PORT": port}  # noqa: S104 - as in a container
    well = _check_health(repository, environment, listens_everywhere)
    gone = _check_health(repository, environment, {"GATEWAY_PORT": "1"})
    wrong = _check_health(repository, environment, {"GATEWAY_PORT": "http"})

    assert (0, "ready\n", "") == (well.returncode, well.stdout, well.stderr)
    assert (1, "") == (gone.returncode, gone.stderr)
    assert gone.stdout.startswith("not ready: ConnectionRefusedError")
    assert (1, "") == (wrong.returncode, wrong.stderr)
    assert wrong.stdout.startswith("not ready: OperatorError")
