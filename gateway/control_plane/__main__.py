"""
`python -m gateway.control_plane`: the control plane's process, as the supervisor starts it.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import sys
from typing import TYPE_CHECKING

import uvloop

from gateway.clock import SystemClock
from gateway.control_plane.asking import ask_workers
from gateway.control_plane.disk import Disk
from gateway.control_plane.gathering import Gathering
from gateway.control_plane.plan import ControlPlanePlan
from gateway.control_plane.probing import Probing
from gateway.control_plane.process import ControlPlane
from gateway.supervisor.lifeline import live
from gateway.supervisor.orders import RELOAD

if TYPE_CHECKING:
    from gateway.supervisor.assignment import Assignment
    from gateway.supervisor.lifeline import Lifeline


def _run(lifeline: Lifeline, assignment: Assignment) -> None:
    uvloop.run(_serve(lifeline, assignment))


async def _serve(lifeline: Lifeline, assignment: Assignment) -> None:
    plan = ControlPlanePlan.parse(assignment.plan)
    readiness = functools.partial(ask_workers, plan.run_dir)
    probing = Probing(plan.probe, plan.node, SystemClock()) if plan.probe is not None else None
    gathering = Gathering(plan.run_dir, Disk(plan.data_dir / "journal"), probing)
    host_names = frozenset({plan.node.lower()})
    tls = assignment.load_tls()
    control_plane = ControlPlane(readiness, gathering.gather, host_names, tls.context if tls is not None else None)

    def take_plan(renewed: Assignment) -> None:
        probe = ControlPlanePlan.parse(renewed.plan).probe
        if probing is not None and probe is not None:
            probing.renew(probe)

    def take_order(order: str) -> None:
        if order.startswith(RELOAD):
            lifeline.reload(order, tls, take_plan)

    with socket.socket(fileno=assignment.listener) as operators:
        try:
            await control_plane.open([operators])
            lifeline.tell_ready()
            if probing is not None:
                probing.start()
            await lifeline.wait_for_end(take_order)
        finally:
            await control_plane.close()
            if probing is not None:
                await asyncio.to_thread(probing.stop)


if __name__ == "__main__":
    sys.exit(live(_run))
