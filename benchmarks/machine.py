"""
What a run stands on: two cores, the programs it needs, free ports, and the words that describe the machine.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "ROOT",
    "Cores",
    "Tools",
    "UnfitError",
    "describe",
    "find_cores",
    "find_free_port",
    "find_tools",
    "parse_cpu_model",
    "raise_file_limit",
]

ROOT = Path(__file__).parent.parent
_PACKAGES = {"wrk": "wrk", "nginx": "nginx-light", "taskset": "util-linux", "setpriv": "util-linux"}
_FOLDERS = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


class UnfitError(Exception):
    """
    This machine cannot run the benchmark; says what is missing and how to get it.
    """


@dataclass(frozen=True, slots=True)
class Cores:
    """
    Which core is whose.

    Attributes:
        gateway: For the candidate alone, with all of its processes and threads.
        load: For the load generator and the upstream.
    """

    gateway: int
    load: int


@dataclass(frozen=True, slots=True)
class Tools:
    """
    Paths of the native programs.
    """

    wrk: str
    nginx: str


def find_cores() -> Cores:
    """
    The first two cores that this process may use.

    Raises:
        UnfitError: This is not Linux, or there is only one.
    """
    if sys.platform != "linux":
        raise UnfitError("The benchmark pins processes to cores and reads /proc: it runs on Linux alone.")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:  # noqa: PLR2004 - one for the gateway, one for the rest
        raise UnfitError("The benchmark needs two cores: one for the gateway alone, one for the load and the upstream.")
    return Cores(cores[0], cores[1])


def find_tools() -> Tools:
    """
    The programs, installed from Debian's packages when they are missing and we are root.

    Raises:
        UnfitError: One is missing; says which package has it.
    """
    missing = _find_missing()
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        packages = sorted({_PACKAGES[name] for name in missing})
        print(f"installing {', '.join(packages)}", flush=True)
        # Runlevel 1 keeps Debian from starting a web server on port 80 only because its package came.
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        installing = ["install", "--yes", "--no-install-recommends", *packages]
        for words in (["update"], installing):
            subprocess.run(["apt-get", "-qq", *words], env=environment, stdout=subprocess.DEVNULL, check=False)
        missing = _find_missing()
    if missing:
        words = sorted({_PACKAGES[name] for name in missing})
        raise UnfitError(f"{', '.join(missing)} not found. On Debian and Ubuntu: apt-get install {' '.join(words)}")
    return Tools(_find("wrk") or "", _find("nginx") or "")


def _find_missing() -> list[str]:
    return [name for name in _PACKAGES if _find(name) is None]


def _find(name: str) -> str | None:
    return shutil.which(name, path=_FOLDERS)


def raise_file_limit() -> int:
    """
    Raise the soft limit of open files to the hard one, for us and all that we start; returns it.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def find_free_port() -> int:
    """
    A port of the loopback that nobody has now. Whoever asked must be quick.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def describe(tools: Tools) -> dict[str, str]:
    """
    The machine and the versions, for the head of the report.
    """
    return {
        "cpu": f"{parse_cpu_model(Path('/proc/cpuinfo').read_text())}, {os.cpu_count()} cores",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "nginx": _run(tools.nginx, "-v").rpartition("/")[2],
        "wrk": _run(tools.wrk, "-v").split()[1],
        "commit": _find_commit(),
    }


def parse_cpu_model(text: str) -> str:
    """
    The first model name in /proc/cpuinfo.
    """
    names = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    return next(names, "an unnamed CPU")


def _find_commit() -> str:
    commit = _run("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD")
    changed = _run(
        "git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no", "--", "gateway", "benchmarks"
    )
    return f"{commit} with changes" if changed else commit


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return (done.stdout + done.stderr).strip()
