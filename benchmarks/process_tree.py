"""
What a candidate uses: CPU time and memory of a process and of all that descend from it, and how busy a core was.

Read from Linux's /proc (proc(5)). A tree is found by parent ids, so that a supervisor, its children and whatever they
start are all in it, whichever of them does the work.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "CoreTimes",
    "Process",
    "ProcessTree",
    "find_kernel_threads",
    "find_tree",
    "parse_core_idle",
    "parse_pss",
    "parse_stat",
]

_PROC = Path("/proc")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """
    One line of /proc/PID/stat.

    Attributes:
        cpu_seconds: Of all its threads, user and system, and of its children that ended and were waited for.
    """

    pid: int
    parent: int
    cpu_seconds: float


def parse_stat(text: str) -> Process:
    """
    A process from its `stat`. The command's name, in parentheses, may hold spaces and parentheses itself.
    """
    pid = int(text[: text.index(" ")])
    fields = text[text.rindex(")") + 2 :].split()  # from the third field on, the state
    ticks = sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime
    return Process(pid, int(fields[1]), ticks / _TICKS_PER_SECOND)


def parse_pss(text: str) -> int:
    """
    The proportional set size in bytes, from a `smaps_rollup`: shared pages count for each process by its share.
    """
    line = next(line for line in text.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024


def parse_core_idle(text: str, core: int) -> tuple[float, float]:
    """
    How many seconds a core has been idle, and idle while something of it waited for a disk, from /proc/stat.
    """
    line = next(line for line in text.splitlines() if line.startswith(f"cpu{core} "))
    fields = line.split()
    return int(fields[4]) / _TICKS_PER_SECOND, int(fields[5]) / _TICKS_PER_SECOND


def find_tree(root: int, processes: Iterable[Process]) -> list[Process]:
    """
    The process `root` and its descendants.
    """
    children: dict[int, list[Process]] = {}
    found = []
    for process in processes:
        children.setdefault(process.parent, []).append(process)
        if process.pid == root:
            found.append(process)
    for process in found:  # grows while we walk it
        found += children.get(process.pid, [])
    return found


class ProcessTree:
    """
    A running process with all its descendants, looked up anew at each question.
    """

    def __init__(self, root: int) -> None:
        self.root = root

    def cpu_seconds(self) -> float:
        """
        The CPU time of all of them up to now.
        """
        return sum(process.cpu_seconds for process in self._find())

    def pss_bytes(self) -> int:
        """
        The memory of all of them.
        """
        return sum(parse_pss(text) for process in self._find() if (text := _read(process.pid, "smaps_rollup")))

    def pids(self) -> list[int]:
        """
        Their process ids, the root's first.
        """
        return [process.pid for process in self._find()]

    def _find(self) -> list[Process]:
        pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal())
        texts = (_read(pid, "stat") for pid in pids)
        return find_tree(self.root, [parse_stat(text) for text in texts if text])


def find_kernel_threads() -> ProcessTree | None:
    """
    The kernel's own threads, which write back the disk's pages for whoever filled them; None where they are not seen.
    """
    return ProcessTree(2) if _read(2, "comm").strip() == "kthreadd" else None


@dataclass(frozen=True, slots=True)
class CoreTimes:
    """
    A core's idle time at an instant, without and with a disk to wait for; two tell how busy it was in between.

    Idle time is measured where busy time is sampled by ticks (Linux without CONFIG_VIRT_CPU_ACCOUNTING_GEN), so busy
    is what is left of the clock's time.
    """

    at: float
    idle_seconds: float
    waiting_seconds: float

    @classmethod
    def read(cls, core: int) -> CoreTimes:
        """
        Now.
        """
        return cls(time.monotonic(), *parse_core_idle((_PROC / "stat").read_text(), core))

    def busy_until(self, later: CoreTimes) -> float:
        """
        The busy share of the time between, 0 to 1.
        """
        idle_seconds = later.idle_seconds - self.idle_seconds
        return min(max(1 - idle_seconds / (later.at - self.at) - self.waiting_until(later), 0.0), 1.0)

    def waiting_until(self, later: CoreTimes) -> float:
        """
        The share in which it had nothing to do but to wait for a disk, 0 to 1.
        """
        return (later.waiting_seconds - self.waiting_seconds) / (later.at - self.at)


def _read(pid: int, name: str) -> str:
    """
    A file of a process; nothing when it has ended meanwhile.
    """
    try:
        return (_PROC / str(pid) / name).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
