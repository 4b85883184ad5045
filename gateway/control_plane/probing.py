"""
The prober's place in the control plane: a thread with an event loop of its own.

Nothing that it does, be it a registry that is slow or a disk that hangs, can make the operators' port wait: what it has
found is looked at from outside, as a value. When it cannot be opened it is tried again, and that is told as a metric.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
from types import MappingProxyType
from typing import TYPE_CHECKING

from gateway.errors import GatewayError
from gateway.logs import render_exception
from gateway.metrics.node_metrics import NodeMetric

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.clock import Clock
    from gateway.control_plane.plan import ProbePlan
    from gateway.diagnosis.prober import Prober
    from gateway.diagnosis.upstream_check import UpstreamState
    from gateway.metrics.samples import Samples

__all__ = ["Probing"]

_logger = logging.getLogger(__name__)

_FIRST_SECONDS = 30.0
"""How long after the start the first round is, and how soon an opening that failed is tried again."""

_END_SECONDS = 2.0
"""How long the thread is waited for at the end: its journal is written by then, unless its disk hangs."""


class Probing:
    """
    Opens the prober and has it work, from `start` to `stop`.

    Args:
        plan: Where it finds its things, and how often it works.
        node: This machine's name, for the journal.
        clock: Tells the time.
    """

    def __init__(self, plan: ProbePlan, node: str, clock: Clock) -> None:
        self._plan = plan
        self._node = node
        self._clock = clock
        self._first_seconds = min(plan.interval_seconds, _FIRST_SECONDS)
        self._prober: Prober | None = None
        self._failed_openings = 0
        self._told = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._life: asyncio.Task[None] | None = None
        self._has_begun = threading.Event()
        # A daemon, so that a disk that hangs cannot keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="prober", daemon=True)

    def start(self) -> None:
        """
        Begin; returns at once.
        """
        self._thread.start()

    def stop(self) -> None:
        """
        End it, and wait for that, a few seconds at most. Without a `start` there is nothing to do.
        """
        if self._thread.ident is None:
            return
        if self._has_begun.wait(_END_SECONDS) and self._loop is not None and self._life is not None:
            try:
                self._loop.call_soon_threadsafe(self._life.cancel)
            except RuntimeError:
                return  # it has ended by itself
            self._thread.join(_END_SECONDS)

    def renew(self, plan: ProbePlan) -> None:
        """
        Wait for Noojee as another plan says, from the next round on; nothing else of it is taken. Safe from any thread.
        """
        self._plan = dataclasses.replace(self._plan, timeouts=plan.timeouts)
        if self._prober is not None:
            self._prober.timeouts = plan.timeouts

    @property
    def states(self) -> Mapping[str, UpstreamState]:
        """
        By upstream's name, what was found last.
        """
        return self._prober.states if self._prober is not None else MappingProxyType({})

    def tell(self, samples: Samples) -> None:
        """
        Put down what was found, and how the prober itself is. Safe from any thread.
        """
        prober = self._prober
        done, failed = (prober.rounds_done, prober.rounds_failed) if prober is not None else (0, 0)
        samples.put(NodeMetric.PROBER_RUNNING, prober is not None and prober.is_well)
        samples.put(NodeMetric.PROBE_INTERVAL, self._plan.interval_seconds)
        samples.put(NodeMetric.PROBE_ROUNDS, done, "done")
        samples.put(NodeMetric.PROBE_ROUNDS, failed + self._failed_openings, "failed")
        for upstream, state in self.states.items():
            _put_state(samples, upstream, state)

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except Exception:
            _logger.exception("the prober's thread ended; the upstreams are not probed any more")

    async def _live(self) -> None:
        self._loop, self._life = asyncio.get_running_loop(), asyncio.current_task()
        self._has_begun.set()
        try:
            while self._prober is None:
                await asyncio.sleep(self._first_seconds)
                await self._open()
            await self._prober.run(self._plan.interval_seconds)
        except asyncio.CancelledError:
            pass  # `stop` has said so
        finally:
            if self._prober is not None:
                await self._prober.close()

    async def _open(self) -> None:
        # SQLAlchemy and what opens keys: only a control plane that probes holds them in memory.
        from gateway.diagnosis.prober import Prober

        plan = self._plan
        try:
            self._prober = await Prober.open(
                data_dir=plan.data_dir,
                master_key_file=plan.master_key_file,
                node=self._node,
                timeouts=plan.timeouts,
                clock=self._clock,
            )
        except GatewayError as error:
            self._tell_failure(str(error))
        except Exception as error:  # noqa: BLE001 - the edge of a thread: it is tried again, whatever it was
            self._tell_failure(render_exception(error))
        else:
            self._prober.timeouts = self._plan.timeouts  # another plan may have come meanwhile

    def _tell_failure(self, why: str) -> None:
        self._failed_openings += 1
        if why != self._told:  # once, and not every half minute
            _logger.error("the prober cannot be opened, it is tried again: %s", why)
        self._told = why

    def __repr__(self) -> str:
        return f"<Probing: {self._prober!r}>"


def _put_state(samples: Samples, upstream: str, state: UpstreamState) -> None:
    samples.put(NodeMetric.UPSTREAM_PROBED, state.probed_at.timestamp(), upstream)
    samples.put(NodeMetric.UPSTREAM_REACHABLE, state.is_reachable, upstream)
    if state.is_allowed is not None:
        samples.put(NodeMetric.UPSTREAM_ALLOWED, state.is_allowed, upstream)
    if state.is_answering is not None:
        samples.put(NodeMetric.UPSTREAM_ANSWERING, state.is_answering, upstream)
    if state.certificate_ends_at is not None:
        samples.put(NodeMetric.UPSTREAM_CERTIFICATE, state.certificate_ends_at.timestamp(), upstream)
    if state.clock_skew_seconds is not None:
        samples.put(NodeMetric.UPSTREAM_CLOCK_SKEW, state.clock_skew_seconds, upstream)
    for credential, is_accepted in state.keys.items():
        if is_accepted is not None:
            samples.put(NodeMetric.CREDENTIAL_ACCEPTED, is_accepted, upstream, credential)
