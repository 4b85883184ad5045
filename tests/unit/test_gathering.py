"""
The control plane's part in metrics: workers asked over their sockets, and whoever does not answer left out.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from pathlib import Path

import pytest

from gateway.control_plane import disk as disk_module
from gateway.control_plane import gathering as gathering_module
from gateway.control_plane.disk import Disk
from gateway.control_plane.gathering import Gathering
from gateway.metrics.exposition import render
from gateway.metrics.node_metrics import NodeMetric
from gateway.metrics.samples import LIMIT_BYTES, Samples
from gateway.metrics.worker_metrics import WorkerMetric
from gateway.run_folder import ASK_METRICS


def tell(worker: str, *, ready: bool, calls: int) -> bytes:
    """
    What a worker of that name would answer.
    """
    samples = Samples()
    samples.put(WorkerMetric.READY, ready, worker)
    samples.put(WorkerMetric.CALLS, calls, worker, "CallManagementAPI/dial", "succeeded")
    return samples.render()


async def serve(path: Path, answer: bytes) -> asyncio.Server:
    """
    Somebody who answers so to whoever asks for metrics.
    """

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == ASK_METRICS
        writer.write(answer)
        writer.close()

    return await asyncio.start_unix_server(talk, str(path))


def gather(run_dir: Path, *answers: bytes) -> Samples:
    """
    What is gathered where these workers answer so.
    """

    async def story() -> Samples:
        servers = [await serve(run_dir / f"worker-{number}.sock", each) for number, each in enumerate(answers)]
        try:
            return await Gathering(run_dir, Disk(run_dir), None).gather()
        finally:
            for server in servers:
                server.close()

    return asyncio.run(story())


def find(samples: Samples, metric: NodeMetric | WorkerMetric) -> dict[tuple[str, ...], object]:
    """
    A metric's values.
    """
    return dict(samples.find(metric))


def test_two_workers_are_told_apart(tmp_path: Path) -> None:
    """
    While one takes over from another; calls are served when one of them serves.
    """
    seen = gather(tmp_path, tell("worker-0", ready=False, calls=7), tell("worker-1", ready=True, calls=2))

    called = ("CallManagementAPI/dial", "succeeded")
    assert {("worker-0", *called): 7, ("worker-1", *called): 2} == find(seen, WorkerMetric.CALLS)
    assert ({(): 1}, {(): 2}) == (find(seen, NodeMetric.UP), find(seen, NodeMetric.WORKERS))


def test_nobody_serves_when_nobody_says_so(tmp_path: Path) -> None:
    """
    No worker, one that a kill has left a socket of, one that is not ready.
    """
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "worker-9.sock"))

    alone = gather(tmp_path)
    unready = gather(tmp_path, tell("worker-0", ready=False, calls=1))

    assert ({(): 0}, {(): 0}) == (find(alone, NodeMetric.UP), find(alone, NodeMetric.WORKERS))
    assert ({(): 0}, {(): 1}) == (find(unready, NodeMetric.UP), find(unready, NodeMetric.WORKERS))
    assert {} == find(alone, NodeMetric.PROBER_RUNNING)


@pytest.mark.parametrize(
    "answer",
    [b"", b"{}", b"nonsense\n", b'{"noojee_gateway_up":[[["x"],1]]}\n', b"{" + b" " * LIMIT_BYTES + b"}\n"],
    ids=["nothing", "a part", "nonsense", "a wrong label", "too much"],
)
def test_a_worker_that_answers_nonsense_is_left_out_and_logged(
    tmp_path: Path, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """
    Another one is told all the same.
    """
    seen = gather(tmp_path, answer, tell("worker-1", ready=True, calls=3))

    assert ["worker-1"] == [labels[0] for labels in find(seen, WorkerMetric.CALLS)]
    assert "worker-0 did not tell its metrics" in caplog.text


def test_a_worker_that_stands_still_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    It took the connection and says nothing.
    """
    monkeypatch.setattr(gathering_module, "_PATIENCE_SECONDS", 0.05)
    with socket.socket(socket.AF_UNIX) as standing:
        standing.bind(str(tmp_path / "worker-0.sock"))
        standing.listen()

        seen = gather(tmp_path)

    assert {(): 0} == find(seen, NodeMetric.WORKERS)


def test_a_disk_that_hangs_is_left_out_and_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    However often somebody wants to know; it is told again when it answers.
    """
    monkeypatch.setattr(disk_module, "_PATIENCE_SECONDS", 0.05)
    free, asked, statvfs = threading.Event(), [], os.statvfs

    def hang(path: Path) -> os.statvfs_result:
        asked.append(path)
        assert free.wait(10)
        return statvfs(path)

    monkeypatch.setattr(os, "statvfs", hang)

    async def story() -> list[object]:
        disk = Disk(tmp_path)
        hung = [await disk.look(), await disk.look()]
        free.set()
        monkeypatch.setattr(disk_module, "_PATIENCE_SECONDS", 10.0)
        return [*hung, await disk.look()]

    first, second, third = asyncio.run(story())

    assert (None, None) == (first, second)
    assert third is not None
    assert 1 <= len(asked) <= 2


def test_a_disk_that_is_not_there_has_no_room() -> None:
    """
    Nothing is told of it.
    """
    assert asyncio.run(Disk(Path("/nowhere/at/all")).look()) is None


def test_what_is_gathered_can_be_shown(tmp_path: Path) -> None:
    """
    From the worker's line to Prometheus' text.
    """
    text = render(gather(tmp_path, tell("worker-0", ready=True, calls=12)))

    assert (
        'noojee_gateway_calls_total{worker="worker-0",operation="CallManagementAPI/dial",outcome="succeeded"} 12\n'
        in text
    )
    assert "\nnoojee_gateway_up 1\n" in text
