"""
The worker: opens the data plane's parts in their order, and closes them in the order in which nothing is lost.

Knows which part needs which; has no rule of its own. The journal opens first and closes last: between the two
everything that happens can be recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from typing import TYPE_CHECKING

from gateway.access.limits import Permits
from gateway.audit.denials import Denials
from gateway.audit.event import Tag
from gateway.audit.journal import Journal
from gateway.audit.recovery import recover, recover_dead
from gateway.audit.redaction import Redactor
from gateway.audit.summary import AnonymousSummary
from gateway.custody import AuditKey, Ring
from gateway.data_plane.app import create_app
from gateway.data_plane.authentication import Authenticator
from gateway.data_plane.call_log import CallLog
from gateway.data_plane.deciding import Deciding
from gateway.data_plane.forwarded import Forwarding
from gateway.data_plane.hall import Hall
from gateway.data_plane.key_sightings import KeySightings
from gateway.data_plane.listening_post import ListeningPost
from gateway.data_plane.pipeline import Pipeline
from gateway.data_plane.plan import WorkerPlan
from gateway.data_plane.running import Running
from gateway.data_plane.server import CallersServer
from gateway.data_plane.sight import Sight
from gateway.data_plane.snapshots import Snapshots
from gateway.data_plane.tally import Tally
from gateway.data_plane.token_expiry import TokenExpiry
from gateway.errors import OperatorError, OperatorReason, Reason, StorageError
from gateway.noojee.catalogue import load_catalogue
from gateway.readiness import Readiness, State
from gateway.registry.feed import Feed
from gateway.registry.store import Store
from gateway.upstream.client import PooledUpstreams

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Coroutine
    from datetime import datetime

    from gateway.access.snapshot import Snapshot
    from gateway.audit.event import Event
    from gateway.clock import Clock

__all__ = ["Worker", "WorkerPlan"]

_logger = logging.getLogger(__name__)

_SUMMARY_CHECK_SECONDS = 1.0
"""How long after a minute's end its summary may be written."""

_ANSWER_SECONDS = 2.0
"""How long calls that were ended at the end of a drain may take to be answered and recorded."""


class Worker:
    """
    One data-plane process's parts. Open with `await Worker.open(...)`; `close` ends what `open` began.

    Attributes:
        sight: What it tells of itself in numbers.
        has_control_plane: What whoever keeps the two planes says of the other. Without one calls are served (law 8).
    """

    def __init__(
        self, plan: WorkerPlan, clock: Clock, journal: Journal, feed: Feed, first: Snapshot, ring: Ring
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._journal = journal
        self._summary = AnonymousSummary()
        self._denials = Denials()
        self._tally = Tally(clock, load_catalogue(), CallLog() if plan.logs_calls else None)
        self._permits = Permits()
        self._sightings = KeySightings()
        self._running = Running()
        self._tasks: list[asyncio.Task[None]] = []
        audit_key = AuditKey.load(plan.data_dir / "audit.key", ring)
        self._snapshots = Snapshots(
            first,
            read_version=feed.version,
            read=feed.read,
            clock=clock,
            max_age_seconds=plan.snapshot_max_age_seconds,
            changed=self._apply_change,
        )
        self._upstreams = PooledUpstreams(
            ring=ring,
            timeouts=plan.timeouts,
            clock=clock,
            hash_pair_seconds=plan.hash_pair_seconds,
            connections=plan.upstream_connections,
            polls=plan.upstream_polls,
        )
        self._authenticator = Authenticator(fingerprint=audit_key.fingerprint, key_presented=self._record_sighting)
        forwarding = Forwarding(plan.trusted_proxies, plan.forwarded_header)
        self._pipeline = Pipeline(
            journal=journal,
            snapshots=self._snapshots,
            authenticator=self._authenticator,
            deciding=self._create_deciding(audit_key),
            upstreams=self._upstreams,
            running=self._running,
            permits=self._permits,
            denials=self._denials,
            clock=clock,
            forwarding=forwarding,
            refused=self._count_refusal,
            tally=self._tally,
        )
        self._hall = Hall(
            handle=self._pipeline.handle,
            app=create_app(self.readiness),
            refused=self._count_doors_refusal,
            bounds=plan.bounds,
            trusts=forwarding.trusts,
        )
        self._token_expiry = TokenExpiry(feed.tokens, clock)
        self.sight = Sight(
            journal=journal,
            tally=self._tally,
            running=self._running,
            hall=self._hall,
            upstreams=self._upstreams,
            snapshots=self._snapshots,
            tokens=self._token_expiry,
            readiness=self.readiness,
        )
        self._post = ListeningPost(
            plan.run_dir / f"{journal.stream}.sock",
            self._snapshots,
            ring,
            readiness=self.readiness,
            metrics=self.sight.look,
        )
        self._server: CallersServer | None = None
        self._told_to_leave = asyncio.Event()
        self._left_at: float | None = None  # by when who was told to leave has left, on the loop's clock
        self.has_control_plane = True

    @classmethod
    async def open(cls, plan: WorkerPlan, clock: Clock) -> Worker:
        """
        Take a stream, close what a crash left open, read the registry.

        Raises:
            OperatorError: With what to do, when a file or key cannot be used.
            StorageError: The journal cannot be written or recovered.
        """
        ring = Ring.load(plan.master_key_file)
        store = Store.open(plan.data_dir / "gateway.db")
        root = plan.data_dir / "journal"
        journal = await asyncio.to_thread(
            Journal.open_lowest_worker, root, node=plan.node, clock=clock, reserve_bytes=plan.journal_reserve_bytes
        )
        try:
            recovered = await asyncio.to_thread(recover, root, journal, clock)
            feed = Feed(store)
            worker = cls(plan, clock, journal, feed, await asyncio.to_thread(feed.load), ring)
        except BaseException:
            await asyncio.to_thread(journal.close)
            raise
        worker._tally.recovered_intents = recovered.total
        return worker

    async def serve(
        self, sockets: list[socket.socket], ssl_context: ssl.SSLContext | None, *, must_be_ready: bool = False
    ) -> None:
        """
        Begin to serve on bound sockets; returns when calls are accepted.

        Args:
            sockets: They are ours from now on.
            ssl_context: For TLS; None serves plain HTTP.
            must_be_ready: Whether to accept nothing rather than to refuse it: while another worker still serves.

        Raises:
            OperatorError: Calls would be refused, with `must_be_ready`.
        """
        await self._post.open()
        # A verb that has committed since we read, and found nobody to tell, must not be overtaken by a call.
        is_fresh = await self._snapshots.refresh()
        if must_be_ready and not is_fresh:
            # What was revoked since we read would be served again.
            raise OperatorError(OperatorReason.REGISTRY_UNAVAILABLE, "The new worker cannot read the registry.")
        if must_be_ready and not self._journal.writable:
            raise OperatorError(OperatorReason.JOURNAL_UNAVAILABLE, "The new worker cannot write its journal.")
        self._upstreams.prepare(self._snapshots.current.credentials.values())
        self._server = CallersServer(self._hall, ssl_context=ssl_context)
        await self._server.start(sockets)
        self._start(self._snapshots.follow())
        self._start(self._summarise())
        self._start(self._token_expiry.follow())

    def readiness(self) -> Readiness:
        """
        How the node is, now.
        """
        state = State.READY
        if not self._journal.writable or self._snapshots.is_stale():
            state = State.UNREADY
        elif self._running.draining:
            state = State.DRAINING
        elif not (self._snapshots.readable and self.has_control_plane):
            state = State.DEGRADED
        return Readiness(
            state,
            {
                "journal": "writable" if self._journal.writable else "not writable",
                "registry": "readable" if self._snapshots.readable else "not readable",
                "snapshot_version": self._snapshots.current.version,
                "snapshot_age_seconds": round(self._snapshots.age_seconds, 1),
                "calls_running": len(self._running),
                "leaving": self._told_to_leave.is_set(),
                "control_plane": "running" if self.has_control_plane else "not running",
            },
        )

    def leave(self) -> None:
        """
        Hand the place on to another worker, which accepts already. `wait_until_left` tells when that is done.
        """
        self._told_to_leave.set()

    async def wait_until_left(self) -> None:
        """
        After `leave`: accept nobody, end polls at once, serve who is connected, each answer its connection's last.

        Returns when nobody is connected any more. Each call has a drain's time from its own begin: the last of them may
        begin when the keep-alive time of an idle connection is almost over. Never returns without `leave`.
        """
        await self._told_to_leave.wait()
        patience_seconds = self._hall.bounds.keep_alive_seconds + self._plan.drain_seconds
        self._left_at = asyncio.get_running_loop().time() + patience_seconds
        self._hall.leaving = True
        self._running.end(Reason.DRAINING, lambda call: call.is_poll)
        if self._server is not None:
            self._server.stop_accepting()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._left_at):
                    await self._server.wait_until_empty()

    async def drain(self) -> None:
        """
        Refuse new calls, end polls at once, let the others end, then end them; each gets an answer and an outcome.

        What still waits for its body is refused soon: see `Bounds.last_body_seconds`.
        """
        running = self._running
        running.draining = True
        self._hall.draining = True
        running.end(Reason.DRAINING, lambda call: call.is_poll)
        try:
            async with asyncio.timeout_at(self._find_end_of_drain()):
                await running.wait_until_empty()
        except TimeoutError:
            _logger.warning("%d calls were still running after the drain and are ended", len(running))
            running.end(Reason.DRAINING, lambda _call: True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(running.wait_until_empty(), _ANSWER_SECONDS)

    def _find_end_of_drain(self) -> float:
        """
        One time for all calls; who was told to leave before has no more than what was left of that.
        """
        drained_at = asyncio.get_running_loop().time() + self._plan.drain_seconds
        return drained_at if self._left_at is None else min(drained_at, self._left_at)

    def reload(self, plan: WorkerPlan) -> None:
        """
        Bring into force what can change in a worker that serves: connections that are made from now on go by it.
        """
        self._plan = dataclasses.replace(self._plan, bounds=plan.bounds, drain_seconds=plan.drain_seconds)
        self._hall.bounds = plan.bounds

    def recover_dead(self) -> None:
        """
        Have the calls closed that another worker left open, which has ended while we serve.
        """
        self._start(self._recover_dead())

    async def _recover_dead(self) -> None:
        root = self._plan.data_dir / "journal"
        try:
            found = await asyncio.to_thread(recover_dead, root, self._journal, self._clock)
        except StorageError as error:
            _logger.error("what another worker left open stays so until the next start: %s", error.detail)  # noqa: TRY400  # our error's sentence is all there is to say
        else:
            self._tally.recovered_intents += found.total
            if found.total:
                _logger.warning("%d calls that another worker left open were closed as unknown", found.total)

    async def close(self) -> None:
        """
        End what is left, the journal last, whatever fails before it. Call `drain` first.
        """
        async with contextlib.AsyncExitStack() as steps:  # in the reverse of their order here
            steps.push_async_callback(asyncio.to_thread, self._journal.close)
            steps.callback(self._record_end)
            steps.push_async_callback(self._upstreams.close)
            steps.push_async_callback(self._end_tasks)
            if self._server is not None:
                steps.push_async_callback(self._server.stop)
            steps.push_async_callback(self._post.close)

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _record_end(self) -> None:
        now = self._clock.now()
        self._record_summaries(self._summary.take(now) + self._denials.take(now, present_minute_too=True))
        self._journal.record_soon({"tag": Tag.WORKER_STOPPED, "counts": {"open": len(self._running)}})

    def _apply_change(self) -> None:
        """
        After a newer snapshot came into force: end what it no longer allows, forget what it no longer names.
        """
        self._authenticator.forget()
        self._permits.forget(self._snapshots.current.callers)
        self._running.end_overtaken(self._snapshots.current)
        credentials = self._snapshots.current.credentials.values()
        self._start(self._upstreams.forget(frozenset(credentials)))
        self._upstreams.prepare(credentials)

    def _create_deciding(self, audit_key: AuditKey) -> Deciding:
        return Deciding(
            journal=self._journal,
            snapshots=self._snapshots,
            catalogue=load_catalogue(),
            redactor=Redactor(
                key_id=audit_key.key_id,
                key_for_caller=audit_key.for_caller,
                number_country=self._plan.number_country,
                is_held_key=lambda text: audit_key.fingerprint(text) in self._snapshots.current.fingerprints,
            ),
            timeouts=self._plan.timeouts,
            clock=self._clock,
            running=self._running,
            number_country=self._plan.number_country,
        )

    def _count_doors_refusal(self, reason: Reason, peer: str) -> None:
        self._tally.refuse(reason)
        self._count_refusal(reason, peer)

    def _count_refusal(self, reason: Reason, peer: str, client: str | None = None) -> None:
        self._summary.count(reason.code, peer, client)

    def _record_sighting(self, credential_name: str | None, carrier: str, peer: str, client: str | None) -> None:
        event = self._sightings.notice(credential_name, carrier, peer, self._clock.monotonic(), client)
        if event is not None:
            self._journal.record_soon(event)

    async def _summarise(self) -> None:
        minute = _minute_of(self._clock.now())
        while True:
            await asyncio.sleep(_SUMMARY_CHECK_SECONDS)
            now = self._clock.now()
            if _minute_of(now) == minute:
                continue  # few events a minute, however many calls, so that nobody can fill the disk
            minute = _minute_of(now)
            self._record_summaries(self._summary.take(now) + self._denials.take(now))

    def _record_summaries(self, events: list[Event]) -> None:
        for event in events:
            self._journal.record_soon(event)

    def _start(self, coroutine: Coroutine[object, object, None]) -> None:
        self._tasks = [task for task in self._tasks if not task.done()]
        task = asyncio.create_task(coroutine)
        task.add_done_callback(_tell_death)
        self._tasks.append(task)

    def __repr__(self) -> str:
        return f"<Worker {self._journal.stream}: {self._running!r}>"


def _minute_of(instant: datetime) -> datetime:
    return instant.replace(second=0, microsecond=0)


def _tell_death(task: asyncio.Task[None]) -> None:
    # A task that nobody awaits would end in silence, and with it what it was there for.
    if not task.cancelled() and (error := task.exception()) is not None:
        _logger.error("a task of the worker ended", exc_info=error)
