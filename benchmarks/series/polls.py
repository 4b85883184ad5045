"""
9,000 long polls held by one gateway: what each takes of memory.

The callers are plain sockets of this program, from eight source addresses, because one source may hold a quarter of the
connections. The polls come in as fast as the gateway passes them on, some hundred at a time.
"""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.children import running, wait_for
from benchmarks.machine import find_free_port
from benchmarks.nginx_server import Upstream, answers
from benchmarks.node import install, read_record, serving
from benchmarks.outcome import Honesty, Series
from benchmarks.range import Tally
from benchmarks.wrk import render_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.range import Range

__all__ = ["find_poll_count", "measure_polls"]

_POLLS = 9000
_SOURCES = 8
_AT_ONCE = 100
_TARGET = "/servicemanager/rest/CallManagementAPI/subscribe?exten=410&lastSequenceNumber=0&timeOut=3600"
_FILES_BESIDE = 500
_ARRIVE_SECONDS = 30.0
_REST_SECONDS = 3.0


def find_poll_count(file_limit: int) -> int:
    """
    As many polls as the limit of open files lets one process hold, two descriptors each; at most 9,000.
    """
    return min(_POLLS, (file_limit - _FILES_BESIDE) // 2)


def measure_polls(place: Range, certificates: Mapping[str, str]) -> Series:
    """
    Open them, let things settle, look at the memory, and end the gateway under them.
    """
    count = find_poll_count(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    with _holder(place, certificates) as upstream, contextlib.ExitStack() as sockets:
        installation = install(place.folder / "polls", upstream)
        with serving(installation, core=place.cores.gateway) as node:
            time.sleep(_REST_SECONDS)
            rest_bytes = node.child.tree.pss_bytes()
            cpu_before = node.child.tree.cpu_seconds()
            _open_polls(sockets, node.port, installation.tokens, count, upstream)
            cpu_us = 1e6 * (node.child.tree.cpu_seconds() - cpu_before) / count
            time.sleep(_REST_SECONDS)
            held_bytes = node.child.tree.pss_bytes() - rest_bytes
            tally = Tally(answered=0, left=count, at_upstream=upstream.count_requests())
            began = time.monotonic()
        end_seconds = time.monotonic() - began
    each_kb = held_bytes / count / 1000
    print(f"  {count:,} polls: {each_kb:.1f} kB each, ended in {end_seconds:.1f} s", flush=True)
    record = read_record(installation, core=place.cores.gateway)
    return Series(
        name="polls",
        title="Held long polls",
        text=f"Polls that wait in one gateway, from {_SOURCES} source addresses. Memory is what the node's grew by "
        "(PSS of all processes). At the end the gateway is told to stop while it holds them.",
        columns=("polls", "memory each kB", "node MB", "CPU us to open one", "stopped in s"),
        rows=(
            (
                f"{count:,}",
                f"{each_kb:.1f}",
                f"{(rest_bytes + held_bytes) / 1e6:.0f}",
                f"{cpu_us:.0f}",
                f"{end_seconds:.1f}",
            ),
        ),
        figures={"poll_kb": each_kb},
        honesty=(Honesty("polls", record, tally),),
    )


@contextlib.contextmanager
def _holder(place: Range, certificates: Mapping[str, str]) -> Iterator[Upstream]:
    port = find_free_port()
    files = [certificates["server_file"], certificates["server_key_file"]]
    command = [sys.executable, "-m", "benchmarks.poll_holder", str(port), *files]
    log = place.folder / "poll-holder.log"
    with running(command, core=place.cores.load, log=log) as child:
        wait_for(lambda: answers(port), f"the upstream of polls listens: see {log}", _ARRIVE_SECONDS)
        yield Upstream(port, Path(certificates["ca_file"]), place.upstream.key, child.tree)


def _open_polls(
    sockets: contextlib.ExitStack, port: int, tokens: Sequence[str], count: int, upstream: Upstream
) -> None:
    """
    Open so many, never more than some under way to the upstream.
    """
    opened: list[socket.socket] = []
    while len(opened) < count:
        for number in range(len(opened), min(len(opened) + _AT_ONCE, count)):
            source = f"127.0.0.{number % _SOURCES + 2}"
            each = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0))
            sockets.enter_context(each)
            token = tokens[number % len(tokens)]
            each.sendall(render_request(_TARGET, host=f"127.0.0.1:{port}", token=token))
            opened.append(each)
        wait_for(lambda: _have_arrived(upstream, opened), f"{len(opened)} polls are held", _ARRIVE_SECONDS)


def _have_arrived(upstream: Upstream, opened: Sequence[socket.socket]) -> bool:
    """
    Whether the upstream holds all of them.

    Raises:
        RuntimeError: The gateway answered one, with its answer.
    """
    if upstream.count_requests() >= len(opened):
        return True
    poller = select.poll()
    for each in opened[-_AT_ONCE:]:
        poller.register(each, select.POLLIN)
    by_number = {each.fileno(): each for each in opened[-_AT_ONCE:]}
    for number, _ in poller.poll(0):
        raise RuntimeError(f"a poll was answered: {by_number[number].recv(2000).decode(errors='replace')}")
    return False
