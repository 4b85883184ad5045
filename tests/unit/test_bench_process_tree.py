"""
How a candidate's processes are found and what they used.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from benchmarks.process_tree import (
    CoreTimes,
    Process,
    ProcessTree,
    find_tree,
    parse_core_idle,
    parse_pss,
    parse_stat,
)

TICKS = os.sysconf("SC_CLK_TCK")
STAT = "4711 (a (b) c) S 17 4711 4711 0 -1 4194304 900 80 0 0 {} {} {} {} 20 0 3 0 1000 1 1 0"
CPU = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 3 {} {} 6 7 8 9 10\ncpu1 0 0 0 0 0 0 0 0 0 0\n"


def test_a_stat_line_is_read_whatever_the_program_is_called() -> None:
    """
    Its name may hold spaces and parentheses; the time of ended children counts.
    """
    text = STAT.format(3 * TICKS, 2 * TICKS, TICKS, TICKS)

    assert Process(4711, 17, 7.0) == parse_stat(text)


def test_a_tree_is_a_process_with_its_descendants() -> None:
    """
    In whatever order the system lists them; a supervisor's grandchildren count.
    """
    processes = [Process(pid, parent, 1.0) for pid, parent in ((9, 5), (5, 2), (3, 1), (2, 1), (7, 2), (1, 0))]

    assert {2, 5, 7, 9} == {process.pid for process in find_tree(2, processes)}
    assert find_tree(99, processes) == []


def test_memory_is_the_proportional_share() -> None:
    """
    Rss and Pss_Dirty stand beside it.
    """
    assert parse_pss("00400000-7fff [rollup]\nRss: 9000 kB\nPss: 4100 kB\nPss_Dirty: 17 kB\n") == 4100 * 1024


def test_idle_and_waiting_for_a_disk_are_told_apart() -> None:
    """
    Of one core, and not of the line for all.
    """
    assert parse_core_idle(CPU.format(4 * TICKS, 5 * TICKS), 0) == (4.0, 5.0)


@pytest.mark.parametrize(("idle_seconds", "busy"), [(0.0, 1.0), (0.5, 0.75), (2.0, 0.0), (2.1, 0.0)])
def test_busy_is_what_is_left_of_the_clocks_time(idle_seconds: float, busy: float) -> None:
    """
    Never less than nothing, though the kernel's idle time is rounded.
    """
    assert CoreTimes(100.0, 7.0, 3.0).busy_until(CoreTimes(102.0, 7.0 + idle_seconds, 3.0)) == busy


def test_a_core_that_waits_for_a_disk_is_not_busy() -> None:
    """
    It could do something else meanwhile; the share is told apart all the same.
    """
    before, after = CoreTimes(100.0, 7.0, 3.0), CoreTimes(102.0, 7.5, 3.5)

    assert (0.5, 0.25) == (before.busy_until(after), before.waiting_until(after))


@pytest.mark.skipif(sys.platform != "linux", reason="the benchmark reads Linux's /proc")
def test_a_child_of_a_child_is_found_where_it_runs() -> None:
    """
    And is no longer there when both have ended.
    """
    child = "print(1, flush=True); input()"
    code = f"import subprocess, sys; sum(range(3_000_000)); subprocess.run([sys.executable, '-c', '{child}'])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        tree = ProcessTree(parent.pid)

        assert len(tree.pids()) == 2
        assert tree.cpu_seconds() > 0
        assert tree.pss_bytes() > 1_000_000
    assert tree.pids() == []
