"""
The load generator: wrk, native, one thread, with requests that were rendered beforehand.

Its latencies are of a closed loop: each connection sends when its answer came. Where an answer took longer than such a
connection's usual interval, wrk adds the ones that would have waited behind it, so that a stall shows in p99.
"""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.children import pin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Generator", "Load", "parse_result", "render_request", "write_requests"]

_SCRIPT = Path(__file__).parent / "calls.lua"
_EDGE_SECONDS = 0.4
"""At either end of a window, left out when the core is looked at: connections open, connections close."""


@dataclass(frozen=True, slots=True)
class Load:
    """
    What wrk saw in one window. Latencies in microseconds.

    Attributes:
        answers: Complete answers, of any status.
        failures: Answers of status 400 and more, and connections that broke or timed out.
    """

    answers: int
    seconds: float
    p50_us: int
    p90_us: int
    p99_us: int
    max_us: int
    failures: int

    @property
    def per_second(self) -> float:
        """
        Answers a second.
        """
        return self.answers / self.seconds


def parse_result(output: str) -> Load:
    """
    The line that calls.lua prints at the end.

    Raises:
        ValueError: There is none: wrk could not run.
    """
    line = next((line for line in output.splitlines() if line.startswith("result ")), None)
    if line is None:
        raise ValueError(f"wrk told no result:\n{output[-2000:]}")
    result = json.loads(line.removeprefix("result "))
    failures = sum(result[name] for name in result if name.endswith("_errors")) + result["timeouts"]
    return Load(
        answers=result["requests"],
        seconds=result["duration_us"] / 1e6,
        p50_us=result["p50_us"],
        p90_us=result["p90_us"],
        p99_us=result["p99_us"],
        max_us=result["max_us"],
        failures=failures,
    )


def render_request(target: str, *, host: str, token: str | None, body: bytes = b"", content_type: str = "") -> bytes:
    """
    A whole POST as it goes over the wire, on a connection that is kept.
    """
    lines = [f"POST {target} HTTP/1.1", f"Host: {host}"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def write_requests(path: Path, requests: Sequence[bytes]) -> None:
    """
    The file that calls.lua reads.
    """
    with path.open("wb") as file:
        for request in requests:
            file.write(b"%d\n%b" % (len(request), request))


@dataclass(frozen=True, slots=True)
class Generator:
    """
    wrk on its core.
    """

    path: str
    core: int

    def run(
        self,
        url: str,
        requests: Path,
        *,
        connections: int,
        seconds: int,
        delay_ms: float = 0,
        within: Callable[[], None] | None = None,
    ) -> Load:
        """
        One window of load.

        Args:
            within: Called twice, a moment after the window began and a moment before it ends.

        Raises:
            ValueError: wrk told no result.
        """
        command = [
            *pin(self.core),
            *(self.path, "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"),
            *("--timeout", "10s", "--script", str(_SCRIPT), url, "--", str(requests), str(delay_ms)),
        ]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            if within is not None:
                time.sleep(_EDGE_SECONDS)
                within()
                time.sleep(max(seconds - 2 * _EDGE_SECONDS, 0))
                within()
            output, _ = process.communicate(timeout=seconds + 30)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        return parse_result(output.decode(errors="replace"))
