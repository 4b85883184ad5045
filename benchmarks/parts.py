"""
Where the time of a call goes within the worker: CPU microseconds, all of it and step by step.

    python -m benchmarks.parts

The first rows are whole calls at 32 connections, on a worker as shipped with a journal on this disk, but without
sockets: requests are handed to the door as bytes, answers end in the transport's place, and Noojee's replies are there
at once. `python -m benchmarks.way_up` has what sending takes beside that. The steps below are each measured alone,
again and again: caches are warm then, so that in a call they take a half more, and between them there is the glue.

The least of many runs, because neighbours make it dearer and never cheaper. To compare two versions run both in turn.
"""

from __future__ import annotations

import asyncio
import gc
import tempfile
import time
import uuid
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import uvloop

from benchmarks.installation import install
from gateway.clock import SystemClock
from gateway.data_plane.answer import Answer
from gateway.data_plane.body import EmptyBody
from gateway.data_plane.call_record import CallRecord, Ending
from gateway.data_plane.door import Door
from gateway.data_plane.head import Head
from gateway.data_plane.inbound import Call
from gateway.data_plane.plan import WorkerPlan
from gateway.data_plane.running import RunningCall
from gateway.data_plane.worker import Worker
from gateway.noojee.envelope import find_code
from gateway.outcome import Outcome
from gateway.simulator.certificates import ensure_certificates
from gateway.upstream.reply import WholeReply

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTIONS = 32
CALLS = 6000
RUNS = 7
STEPS = 4000

_BODY = b'{"Code": 0, "Message": "Recording started", "SessionID": 1}'
_HEADERS = ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BODY)))
_REQUEST = (
    b"POST /servicemanager/rest/CallManagementAPI/start?extenOrUniqueId=410 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"
    b"Authorization: Bearer %b\r\nContent-Length: 0\r\n\r\n"
)


class _Noojee:
    """
    In the sender's place: every reply is there a turn of the loop later.
    """

    async def send(self, _request: object) -> WholeReply:
        await asyncio.sleep(0)
        return WholeReply(200, _HEADERS, _BODY)


class _Transport:
    """
    In a transport's place: an answer is the sign for the next request.
    """

    def __init__(self, answered: Callable[[], None]) -> None:
        self._answered = answered

    def get_extra_info(self, name: str) -> Any:
        """
        The caller's address, and no socket.
        """
        return ("127.0.0.1", 50_000) if name == "peername" else None

    def is_closing(self) -> bool:
        """
        Never.
        """
        return False

    def can_write_eof(self) -> bool:
        """
        As plain TCP can.
        """
        return True

    def set_write_buffer_limits(self, high: int) -> None:
        """
        There is none.
        """

    def write(self, _data: bytes) -> None:
        """
        Take an answer.
        """
        self._answered()


def _open_door(worker: Worker, answered: Callable[[], None]) -> Door:
    # Of what its server hands a door it looks at the set of connections alone, and of a transport at what is above.
    config: Any = None
    state: Any = SimpleNamespace(connections=set())
    transport: Any = _Transport(answered)
    door = Door(worker._hall, config, state, {}, asyncio.get_running_loop())
    door.connection_made(transport)
    return door


async def _measure_calls(worker: Worker, tokens: list[str]) -> tuple[float, float]:
    """
    CPU microseconds of a whole call, and of them the journal's thread's.
    """
    loop = asyncio.get_running_loop()
    left = CALLS
    over = loop.create_future()
    doors: list[Door] = []

    def go_on(number: int) -> None:
        nonlocal left
        left -= 1
        if left > 0:
            loop.call_soon(doors[number].data_received, requests[number])
        elif left == -CONNECTIONS + 1:
            over.set_result(None)

    requests = [_REQUEST % token.encode() for token in tokens[:CONNECTIONS]]
    doors += [_open_door(worker, partial(go_on, number)) for number in range(CONNECTIONS)]
    process, thread = time.process_time(), time.thread_time()
    for door, request in zip(doors, requests, strict=True):
        door.data_received(request)
    await over
    process, thread = time.process_time() - process, time.thread_time() - thread
    for door in doors:
        door.connection_lost(None)
    calls = CALLS + CONNECTIONS - 1
    return process / calls * 1e6, (process - thread) / calls * 1e6


def _time(step: Callable[[], object]) -> float:
    """
    The least microseconds of a step.
    """
    spent = []
    for _ in range(RUNS):
        began = time.perf_counter()
        for _ in range(STEPS):
            step()
        spent.append(time.perf_counter() - began)
    return min(spent) / STEPS * 1e6


def _run(coroutine: Any) -> Any:
    """
    Drive a coroutine that waits for nothing.
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waited")


def _measure_steps(worker: Worker, token: str) -> dict[str, float]:
    """
    The steps of a call by what they are, in their order.
    """
    pipeline, bounds = worker._pipeline, worker._hall.bounds
    door = _open_door(worker, lambda: None)

    def read_head() -> Head:
        head = Head(bounds)
        head.read(bytearray(_REQUEST % token.encode()))
        return head

    call = Call(door, read_head(), EmptyBody(), request_id=str(uuid.uuid4()), peer="127.0.0.1")
    standing = pipeline._authenticate(call)
    task: Any = asyncio.current_task()  # there is one: this is called by a coroutine
    running = RunningCall(standing, task)
    record = CallRecord(call.request_id, standing, call.peer, time.monotonic())
    decide = pipeline._deciding.decide
    _run(decide(call, running, record))
    ending = Ending(Outcome.SUCCEEDED, upstream_status=200, noojee_code=0, reply_bytes=len(_BODY))
    sent = list(_HEADERS[:1])

    def answer() -> None:
        Answer(door, call.request_id, method="POST", http_version="1.1").send_now(200, sent, _BODY)

    return {
        "read and judge the head": _time(read_head),
        "from the token to the caller": _time(lambda: pipeline._authenticate(call)),
        "name, decide, make the request": _time(lambda: _run(decide(call, running, record))),
        "render the intent": _time(record.intended),
        "read the reply's code": _time(lambda: find_code(_BODY)),
        "render the outcome": _time(lambda: record.ended(ending, time.monotonic())),
        "render the answer": _time(answer),
    }


async def _measure(folder: Path, tokens: list[str]) -> None:
    data_dir = folder / "data"
    plan = WorkerPlan(data_dir, folder / "run", data_dir / "master.key", "benchmark", "61")
    worker = await Worker.open(plan, SystemClock())
    worker._pipeline._upstreams = _Noojee()  # type: ignore[assignment]  # all that a call asks of it
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)
    try:
        whole, thread = min([await _measure_calls(worker, tokens) for _ in range(RUNS)])
        steps = _measure_steps(worker, tokens[0])
    finally:
        await worker.close()
    print(f"{'a call, without its sockets':34}{'us CPU':>8}")
    rows = {"door, pipeline, journal": whole, "of it the journal's thread": thread}
    for name, microseconds in (rows | steps).items():
        print(f"{name:34}{microseconds:8.1f}")


def main() -> None:
    """
    Make an installation, measure, print.
    """
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as made:
        folder = Path(made)
        plan = {
            "data_dir": str(folder / "data"),
            "run_dir": str(folder / "run"),
            "url": "https://127.0.0.1:1",
            "ca_file": str(ensure_certificates(folder).ca_file),
            "key": str(uuid.uuid4()),
            "callers": CONNECTIONS,
            "tokens": CONNECTIONS,
            "rate": "10000/s",
            "operations": ("CallManagementAPI/*",),
            "tokens_file": str(folder / "tokens"),
        }
        install(plan)
        uvloop.run(_measure(folder, (folder / "tokens").read_text().split()))


if __name__ == "__main__":
    main()
