"""
Law 3 over what newcomers run: the demo, which prints a token, and the simulator, which is handed every key.
"""

from __future__ import annotations

import json
import ssl
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import httpx2
import pytest
from installation import API, CAMPAIGN_API, call, find_children
from leak_scanner import Scanner
from leak_story import KEYS, plant_keys
from outputs import Outputs
from program import Program

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder() -> Iterator[Path]:
    """
    A folder with a short name: the demo's socket must fit below it.
    """
    with tempfile.TemporaryDirectory(prefix="leak-") as name:
        yield Path(name)


def start(words: list[str], folder: Path, name: str) -> tuple[Program, dict[str, Any]]:
    """
    A program with debugging on, and its ready line.
    """
    environment = {
        "TMPDIR": str(folder),
        "PATH": "/usr/bin:/bin",
        "PYTHONASYNCIODEBUG": "1",
        "HTTPX_LOG_LEVEL": "trace",
    }
    environment |= {"PYTHONPATH": ":".join(filter(None, sys.path))}
    program = Program(
        [sys.executable, "-m", "gateway", *words], folder=folder, logs=folder / name, environment=environment
    )
    program.wait_for("}\n")
    ready: dict[str, Any] = json.loads(program.output.splitlines()[0])
    return program, ready


def test_the_demo_shows_its_token_where_it_prints_it_and_no_key(folder: Path) -> None:
    """
    Whatever is called, while it runs and after it has ended.
    """
    program, ready = start(["demo", "--json"], folder, "logs")
    (demo_folder,) = folder.glob("noojee-demo-*")
    data_dir = demo_folder / "data"
    keys = sorted((demo_folder / "noojee").glob("*.key"))
    token, port = ready["token"], urlsplit(ready["callers"]).port or 0
    secrets: dict[str, str | bytes] = {path.name: path.read_text().strip() for path in keys} | {"token": token}
    outputs = Outputs()

    for target in (f"{API}/start?extenOrUniqueId=410", f"{API}/stop?extenOrUniqueId=410", f"{API}/dial?number=1"):
        outputs.add_response("a call", call(port, target, token))
        outputs.add_response("a call", call(port, f"{target}&apiKey={token}"))
        outputs.add_response("a call", call(port, f"{target}&apiKey={secrets['global.key']!s}"))
    (supervisor,) = find_children(program.process.pid)
    planes = find_children(supervisor)
    assert 2 == len(planes)
    for pid in (program.process.pid, supervisor, *planes):
        outputs.add_process(f"process {pid} of demo", pid)
    outputs.add_files(data_dir, aside=[data_dir / "master.key", data_dir / "audit.key"])
    outputs.add_files(demo_folder / "noojee", aside=keys)
    assert 0 == program.interrupt()
    outputs.add("standard output of demo", program.output, allowed=["token"])
    outputs.add("standard error of demo", program.errors)
    outputs.add_files(folder, aside=[folder / "logs" / "stdout"])

    assert 3 == len(secrets)
    assert token in program.output
    assert [] == Scanner(secrets).search(outputs)
    assert [folder / "logs"] == list(folder.iterdir())


def test_the_simulator_shows_a_key_in_its_request_list_alone(folder: Path) -> None:
    """
    Right keys, wrong ones and broken requests, over TLS as the gateway sends them.
    """
    plant_keys(folder / "noojee")
    program, ready = start(["simulate", "--port", "0", "--data-dir", "noojee", "--json"], folder, "logs")
    outputs = Outputs()
    context = ssl.create_default_context(cafile=ready["ca_file"])
    faults = ("delay", "status", "cut", "reset_before", "reset_after", "raw", "stall")
    values = {"delay": 0.01, "status": 500, "cut": 3, "raw": "x\r\n\r\n", "stall": "HTTP/1.1 200"}
    with httpx2.Client(base_url=ready["url"], verify=context, trust_env=False, timeout=0.5) as client:
        for key in KEYS.values():
            for path in (f"{API}/start?extenOrUniqueId=410", f"{CAMPAIGN_API}/getCampaignList?fTemplateId=1", "/x?y"):
                outputs.add("a reply", client.post(f"{path}&apiKey={quote(key, safe='')}").content)
                outputs.add("a reply", client.get(f"{path}&apiKey={quote(key, safe='')}").content)
        for kind in faults:
            fault = {"operation": "*", "kind": kind} | ({"value": values[kind]} if kind in values else {})
            assert client.put("/simulator/faults", json=[fault]).is_success
            try:
                outputs.add("a reply", client.post(f"{API}/stop?apiKey={KEYS['global key']}").content)
            except httpx2.HTTPError as error:
                outputs.add("what happened", type(error).__name__)
        listed = client.get("/simulator/requests").content
    outputs.add_process("simulator", program.process.pid)
    outputs.add_files(folder / "noojee", aside=list((folder / "noojee").glob("*.key")))
    assert 0 == program.interrupt()
    outputs.add_files(folder / "logs")
    scanner = Scanner(KEYS)
    shown = Outputs()
    shown.add("list of requests", listed)

    assert set(KEYS) == {finding.secret for finding in scanner.search(shown)}
    assert [] == scanner.search(outputs)
