"""
Our gateway as shipped: a data folder made by the administration, and `noojee-gateway serve` on it.

Audit, chain and policy are on, for there is no switch for them. Its settings are the defaults, but for free ports, and
for the probes of Noojee: the upstream would count them among the calls.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks.children import pin, running
from benchmarks.machine import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.children import Child
    from benchmarks.nginx_server import Upstream

__all__ = ["COMMAND", "Installation", "Node", "Record", "install", "is_journal_whole", "read_record", "serving"]

COMMAND = Path(sys.executable).parent / "noojee-gateway"
_READY_SECONDS = 300.0
_OPERATIONS = ("CallManagementAPI/*", "CampaignAPI/*")


@dataclass(frozen=True, slots=True)
class Installation:
    """
    A data folder.

    Attributes:
        run_dir: Beside all other folders, with a short name: a socket's path has 107 bytes at most.
        tokens: The texts of all tokens, of the callers in turn.
    """

    data_dir: Path
    run_dir: Path
    tokens: tuple[str, ...]

    def environment(self, **settings: str) -> dict[str, str]:
        """
        For `noojee-gateway` on this folder.
        """
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
        folders = {"GATEWAY_DATA_DIR": str(self.data_dir), "GATEWAY_RUN_DIR": str(self.run_dir)}
        return kept | folders | {"GATEWAY_NODE": "benchmark"} | settings


@dataclass(frozen=True, slots=True)
class Node:
    """
    A running `serve`.

    Attributes:
        ready_seconds: From the start of the process to its ready line.
    """

    child: Child
    port: int
    ready_seconds: float


@dataclass(frozen=True, slots=True)
class Record:
    """
    What the journal tells of calls after the gateway ended.

    Attributes:
        not_sent: Outcomes `not_sent`: intents of which the upstream cannot know.
        is_whole: What `noojee-gateway audit verify` says.
    """

    intents: int
    outcomes: int
    not_sent: int
    is_whole: bool


def install(
    folder: Path, upstream: Upstream, *, callers: int = 200, tokens: int | None = None, rate: str | None = None
) -> Installation:
    """
    Make a data folder with so many callers; with a token each unless more are asked for.
    """
    folder.mkdir()
    run_dirs = folder.parent / "run"
    run_dirs.mkdir(exist_ok=True)
    run_dir = run_dirs / str(len(list(run_dirs.iterdir())))
    tokens_file = folder / "tokens"
    plan = {
        "data_dir": str(folder / "data"),
        "run_dir": str(run_dir),
        "url": upstream.url,
        "ca_file": str(upstream.ca_file),
        "key": upstream.key,
        "callers": callers,
        "tokens": tokens or callers,
        "rate": rate,
        "operations": _OPERATIONS,
        "tokens_file": str(tokens_file),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    command = [sys.executable, "-m", "benchmarks.installation"]
    subprocess.run(command, input=json.dumps(plan), text=True, cwd=ROOT, env=kept, check=True)
    return Installation(folder / "data", run_dir, tuple(tokens_file.read_text().split()))


@contextlib.contextmanager
def serving(installation: Installation, *, core: int, **settings: str) -> Iterator[Node]:
    """
    `noojee-gateway serve` on one core, until the block is left.
    """
    environment = installation.environment(
        GATEWAY_PORT="0", GATEWAY_ADMIN_PORT="0", GATEWAY_PROBE_INTERVAL="off", **settings
    )
    log = installation.data_dir.parent / "serve.log"
    began = time.monotonic()
    with running([COMMAND, "serve", "--json"], core=core, log=log, environment=environment, speaks=True) as child:
        ready = json.loads(child.read_line(_READY_SECONDS))
        yield Node(child, urlsplit(ready["callers"]).port or 0, time.monotonic() - began)


def read_record(installation: Installation, *, core: int) -> Record:
    """
    Count the journal's calls, and verify it. The gateway must have ended.
    """
    journal = installation.data_dir / "journal"
    intents = outcomes = not_sent = 0
    for segment in sorted(journal.glob("worker-*/*.jsonl")):
        with segment.open("rb") as file:
            for line in file:
                if b'"tag":"call.intended"' in line:
                    intents += 1
                elif b'"tag":"call.ended"' in line:
                    outcomes += 1
                    not_sent += b'"outcome":"not_sent"' in line
    return Record(intents, outcomes, not_sent, is_journal_whole(installation, core=core))


def is_journal_whole(installation: Installation, *, core: int) -> bool:
    """
    What `noojee-gateway audit verify` says of all streams.
    """
    command = [*pin(core), str(COMMAND), "audit", "verify", "--json", str(installation.data_dir / "journal")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return json.loads(done.stdout or "{}").get("ok") is True
