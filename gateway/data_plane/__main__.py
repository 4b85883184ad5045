"""
`python -m gateway.data_plane`: a worker's process, as the supervisor starts it.

Takes its stream's lock, closes what a worker before it left open, and serves until its lifeline ends.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from typing import TYPE_CHECKING

import uvloop

from gateway.clock import SystemClock
from gateway.data_plane.plan import WorkerPlan
from gateway.data_plane.worker import Worker
from gateway.supervisor.lifeline import live
from gateway.supervisor.orders import CONTROL_PLANE_DOWN, CONTROL_PLANE_UP, LEAVE, RECOVER, RELOAD

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from gateway.supervisor.assignment import Assignment
    from gateway.supervisor.lifeline import Lifeline

_YOUNG_OBJECTS = 20_000
"""
How many objects more than before make the collector look at the young ones, instead of 700: a call makes some dozens
and leaves none in a circle, so to look every ten calls takes 2 us a call and finds nothing.
"""


def _run(lifeline: Lifeline, assignment: Assignment) -> None:
    uvloop.run(_serve(lifeline, assignment))


async def _serve(lifeline: Lifeline, assignment: Assignment) -> None:
    tls = assignment.load_tls()
    with socket.socket(fileno=assignment.listener) as callers:
        worker = await Worker.open(WorkerPlan.parse(assignment.plan), SystemClock())
        worker.sight.tls = tls

        def take_order(order: str) -> None:
            if order in {CONTROL_PLANE_DOWN, CONTROL_PLANE_UP}:
                worker.has_control_plane = order == CONTROL_PLANE_UP
            elif order == RECOVER:
                worker.recover_dead()
            elif order == LEAVE:
                worker.leave()
            elif order.startswith(RELOAD):
                lifeline.reload(order, tls, lambda renewed: worker.reload(WorkerPlan.parse(renewed.plan)))

        try:
            ssl_context = tls.context if tls is not None else None
            await worker.serve([callers], ssl_context, must_be_ready=assignment.is_successor)
            # What is there now stays: modules, the catalogue, tokens. Unless it is set aside, each full collection
            # goes through all of it, which stops every call for some 50 ms.
            gc.collect()
            gc.freeze()
            gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])
            lifeline.tell_ready()
            await _wait_for_first(lifeline.wait_for_end(take_order), worker.wait_until_left())
        finally:
            await worker.drain()
            await worker.close()


async def _wait_for_first(*ends: Coroutine[None, None, None]) -> None:
    tasks = [asyncio.ensure_future(end) for end in ends]
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    for task in done:
        task.result()


if __name__ == "__main__":
    sys.exit(live(_run))
