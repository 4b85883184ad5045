"""
A whole gateway for flow tests: its data folder, its verbs as processes, `serve` as a process, its journal as read back.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway.administration import callers, credentials, grants, installation, tokens, upstreams
from gateway.administration.desk import Desk
from gateway.clock import SystemClock
from gateway.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from gateway.simulator import Simulator

API = "/servicemanager/rest/CallManagementAPI"
CAMPAIGN_API = "/servicemanager/rest/CampaignAPI"
START_SECONDS = 20.0


@dataclass(frozen=True)
class Response:
    """
    What came down.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """
        The body as JSON.
        """
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """
        The reason of one of our problems; empty for every other answer.
        """
        is_problem = self.headers.get("content-type") == "application/problem+json"
        return str(self.json()["reason"]) if is_problem else ""


@dataclass
class Installation:
    """
    A data folder, and everything that is done with it.
    """

    data_dir: Path
    simulator: Simulator
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """
        The folders and the node's name, as the administration takes them.
        """
        return {
            "data_dir": self.data_dir,
            "run_dir": self.data_dir / "run",
            "master_key_file": self.data_dir / "master.key",
            "node": "test",
        }

    @contextmanager
    def desk(self) -> Iterator[Desk]:
        """
        The desk that verbs work at, in this process.
        """
        with Desk.open(**self.settings, clock=SystemClock()) as desk:
            yield desk

    def set_up(self, *, url: str | None = None) -> None:
        """
        An upstream `noojee` (the simulator), credentials `everything` and `campaigns` of it.
        """
        installation.init(**self.settings, clock=SystemClock())
        ca_pem = self.simulator.ca_file.read_text()
        with self.desk() as desk:
            upstreams.add(desk, "noojee", url=url or self.simulator.url, ca_pem=ca_pem)
            key = Secret(self.simulator.global_key_file.read_text().strip())
            credentials.add(desk, "everything", upstream="noojee", kind="global", owner=None, key=key)
            key = Secret(self.simulator.user_key_files["alice"].read_text().strip())
            credentials.add(desk, "campaigns", upstream="noojee", kind="user", owner="alice", key=key)

    def add_caller(
        self,
        name: str,
        granted: Sequence[tuple[str, Sequence[str]]],
        *,
        networks: Sequence[str] = (),
        query_token_allowed: bool = True,
    ) -> str:
        """
        A caller with grants, each a credential and its globs. Returns the text of a token of it.
        """
        with self.desk() as desk:
            callers.add(desk, name, networks=networks, query_token_allowed=query_token_allowed)
            for credential, operations in granted:
                grants.add(desk, name, credential=credential, operations=operations)
            _, token = tokens.issue(desk, name, expires_in=None)
        return token.reveal()

    def verb(self, *words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """
        A verb of the command line, as a process.
        """
        return subprocess.run(
            [sys.executable, "-m", "gateway", *words],
            input=text if text is not None else "",
            capture_output=True,
            text=True,
            env=self._environment(),
            timeout=60,
            check=False,
        )

    @contextmanager
    def serve(
        self, launcher: Sequence[str] = (), descriptors: Sequence[int] = (), /, **settings: str
    ) -> Iterator[Gateway]:
        """
        `serve` in a session of its own, as in a terminal of its own, on free ports, ended by SIGTERM at the end.

        Args:
            launcher: A program, and its first arguments, that becomes the one that the others name.
            descriptors: What it is handed open.
            settings: More of its environment.
        """
        environment = self._environment() | {"GATEWAY_PORT": "0", "GATEWAY_ADMIN_PORT": "0"} | settings
        errors = (self.data_dir / "serve.log").open("ab")
        process = subprocess.Popen(
            [*launcher, sys.executable, "-m", "gateway", "serve", "--json"],
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment,
            start_new_session=True,
            pass_fds=descriptors,
        )
        errors.close()
        try:
            yield Gateway(process, _read_ready(process, self.data_dir / "serve.log"), self.data_dir)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    kill_session(process)
                    raise
            wait_until_all_ended(self.data_dir)
            if process.stdout is not None:
                process.stdout.close()

    def journal(self, stream: str = "worker-0") -> list[dict[str, Any]]:
        """
        All records of a stream, as they stand on disk.
        """
        records = []
        for segment in sorted((self.data_dir / "journal" / stream).glob("*.jsonl")):
            records += [json.loads(line) for line in segment.read_bytes().splitlines()]
        return records

    def calls(self, request_id: str | None = None) -> list[dict[str, Any]]:
        """
        The records of calls, of one call when its request id is given.
        """
        return [
            record
            for record in self.journal()
            if record["tag"].startswith("call.") and request_id in (None, record["request_id"])
        ]

    def records(self) -> list[dict[str, Any]]:
        """
        All records of all workers, stream by stream.
        """
        streams = sorted(path.name for path in (self.data_dir / "journal").glob("worker-*"))
        return [record for stream in streams for record in self.journal(stream)]

    def log(self) -> str:
        """
        What `serve` wrote to standard error.
        """
        return (self.data_dir / "serve.log").read_text()

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
        # Small, for each of many installations holds it for as long as its folder is kept.
        ours = {"GATEWAY_DATA_DIR": str(self.data_dir), "GATEWAY_JOURNAL_RESERVE": "256KiB"}
        ours["GATEWAY_DRAIN_TIMEOUT"] = "10s"  # a test that leaves a call running ends with it
        # Whoever counts what reaches Noojee counts calls, unless the probes are what it is about.
        return kept | ours | {"GATEWAY_PROBE_INTERVAL": "off"} | self.environment


@dataclass
class Gateway:
    """
    A running `serve`.

    Attributes:
        process: The supervisor, which is what a user starts, signals and waits for.
    """

    process: subprocess.Popen[bytes]
    ready: Mapping[str, Any]
    data_dir: Path

    @property
    def worker_pid(self) -> int:
        """
        The process that serves callers, writes the journal and holds the registry's snapshot.
        """
        return self._find_plane("gateway.data_plane")

    @property
    def worker_pids(self) -> list[int]:
        """
        Every worker, also one that leaves and one that does not serve yet; the oldest first.
        """
        return sorted(self._find_planes("gateway.data_plane"))

    @property
    def control_plane_pid(self) -> int:
        """
        The process that serves operators.
        """
        return self._find_plane("gateway.control_plane")

    @property
    def pids(self) -> list[int]:
        """
        Every process of it.
        """
        return [self.process.pid, *find_children(self.process.pid)]

    def kill(self) -> None:
        """
        What a power cut does to it: SIGKILL for all its processes at once. Returns when none of them holds anything.
        """
        kill_session(self.process)
        wait_until_all_ended(self.data_dir)

    def _find_plane(self, module: str) -> int:
        (pid,) = wait_until(lambda: self._find_planes(module), f"{module} runs")
        return int(pid)

    def _find_planes(self, module: str) -> list[int]:
        return [pid for pid, words in find_children(self.process.pid).items() if words.endswith(f" -m {module}")]

    @property
    def port(self) -> int:
        """
        The callers' port.
        """
        return urlsplit(str(self.ready["callers"])).port or 0

    @property
    def admin_port(self) -> int:
        """
        The operators' port.
        """
        return urlsplit(str(self.ready["admin"])).port or 0

    def call(self, target: str, token: str | None = None, *, port: int | None = None, **more: Any) -> Response:
        """
        One call on a connection of its own, to the callers' port unless another is named. See `call`.
        """
        return call(port or self.port, target, token, **more)


def call(
    port: int,
    target: str,
    token: str | None = None,
    *,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout: float = 30.0,
) -> Response:
    """
    One call on a connection of its own, with a token in the Authorization header.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        carried = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request(method, target, body=body, headers={**carried, **(headers or {})})
        response = connection.getresponse()
        return Response(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def wait_until(condition: Any, what: str, seconds: float = 10.0, *, every_seconds: float = 0.01) -> Any:
    """
    Ask until the condition gives something true, and give that; a bounded wait, no sleep of a guessed length.

    Ask less often where asking is a call that is refused: after a hundred of those in a minute a caller gets 429.
    """
    until = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"did not happen within {seconds} s: {what}")
        time.sleep(every_seconds)
    return found


def find_children(pid: int) -> dict[int, str]:
    """
    The processes that a process has started and that have not ended, with their command lines.
    """
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,ppid=,stat=,args="], capture_output=True, check=True)
    rows = [line.split(None, 3) for line in listed.stdout.decode(errors="replace").splitlines()]
    return {int(row[0]): row[3] for row in rows if row[1] == str(pid) and not row[2].startswith("Z")}


def is_there(pid: int) -> bool:
    """
    Whether a process exists, if only as a zombie.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """
    SIGKILL for every process of a session that was started by `process`.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def wait_until_all_ended(data_dir: Path) -> None:
    """
    Return when none of a node's processes is left: all of them hold the right to serve for as long as they live.
    """
    with contextlib.suppress(FileNotFoundError), (data_dir / "serve.lock").open("rb") as lock:
        wait_until(lambda: _is_free(lock.fileno()), "all processes of the node have ended", 30)


def _is_free(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_ready(process: subprocess.Popen[bytes], log: Path) -> Mapping[str, Any]:
    if process.stdout is None:
        raise AssertionError("standard output is not piped")
    readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    line = process.stdout.readline() if readable else b""
    if not line:
        kill_session(process)
        raise AssertionError(f"serve did not become ready:\n{log.read_text()}")
    ready: Mapping[str, Any] = json.loads(line)
    return ready
