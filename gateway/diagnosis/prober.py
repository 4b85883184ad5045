"""
The prober: every upstream looked at every few minutes, for as long as a node runs.

What it sends is on the journal's stream `control`, one intent and one outcome each, as calls are; what it finds is told
as values, which metrics and alarms are made of. It stands on no call's path: when it fails, calls go on (law 8).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from types import MappingProxyType
from typing import TYPE_CHECKING

from gateway.audit.event import Tag
from gateway.audit.journal import Journal
from gateway.audit.recovery import recover_attempts
from gateway.custody import Ring
from gateway.diagnosis.attempt import Attempts
from gateway.diagnosis.upstream_check import UpstreamCheck
from gateway.errors import GatewayError
from gateway.registry.store import Store
from gateway.upstream.addresses import resolve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from gateway.access.credential import Credential
    from gateway.access.upstream import Upstream
    from gateway.clock import Clock
    from gateway.diagnosis.upstream_check import UpstreamState
    from gateway.upstream.addresses import Resolver
    from gateway.upstream.request import Timeouts

__all__ = ["STREAM", "Prober"]

_logger = logging.getLogger(__name__)

STREAM = "control"
_ACTOR = "gateway"


class Prober:
    """
    Probes on the event loop of whoever runs it. Open with `await Prober.open(...)`, end with `close`.

    Args:
        journal: The stream `control`, whose open attempts are closed.
        store: The registry.
        ring: Opens what is sealed.
        timeouts: Those of calls.
        clock: Tells the time.
        resolver: Where names lead.

    Attributes:
        timeouts: Those of the next round.
        states: By upstream's name, what was found last; replaced as a whole after each round, never changed.
        rounds_done: How many rounds `run` has carried out.
        rounds_failed: How many of its rounds were broken off.
        is_well: Whether its last round was carried out; true before the first.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        store: Store,
        ring: Ring,
        timeouts: Timeouts,
        clock: Clock,
        resolver: Resolver = resolve,
    ) -> None:
        self._journal = journal
        self._store = store
        self._ring = ring
        self.timeouts = timeouts
        self._clock = clock
        self._resolver = resolver
        self._told: dict[str, tuple[object, ...]] = {}
        self.states: Mapping[str, UpstreamState] = MappingProxyType({})
        self.rounds_done = 0
        self.rounds_failed = 0
        self.is_well = True

    @classmethod
    async def open(cls, *, data_dir: Path, master_key_file: Path, node: str, timeouts: Timeouts, clock: Clock) -> Self:
        """
        Take the stream, and close what a crash left open on it. Sends nothing.

        Raises:
            OperatorError: A key or the registry cannot be used.
            StorageError: The stream cannot be opened, because another process holds it or for its disk's sake.
        """
        ring = Ring.load(master_key_file)
        store = Store.open(data_dir / "gateway.db")
        root = data_dir / "journal"
        journal = await asyncio.to_thread(Journal.open, root, STREAM, node=node, clock=clock)
        try:
            await asyncio.to_thread(recover_attempts, root, journal, Tag.PROBER_STARTED)
        except BaseException:
            await asyncio.to_thread(journal.close)
            store.close()
            raise
        return cls(journal=journal, store=store, ring=ring, timeouts=timeouts, clock=clock)

    async def run(self, interval_seconds: float) -> None:
        """
        Probe now and after each interval, until cancelled. A round that fails is logged and the next one tried.
        """
        while True:
            self.is_well = await self._try_to_probe()
            if self.is_well:
                self.rounds_done += 1
            else:
                self.rounds_failed += 1
            await asyncio.sleep(interval_seconds)

    async def _try_to_probe(self) -> bool:
        try:
            await self.probe()
        except GatewayError as error:
            _logger.error("the upstreams could not be probed (%s)", type(error).__name__)  # noqa: TRY400 - expected
        except Exception:
            _logger.exception("the prober met an error of ours")
        else:
            return True
        return False

    async def probe(self) -> Mapping[str, UpstreamState]:
        """
        One round: every upstream, one after another, with every key.

        Raises:
            StorageError: The registry cannot be read.
        """
        version, upstreams, credentials = await asyncio.to_thread(self._read)
        attempts = Attempts(self._hold, self._clock, _ACTOR, version)
        check = UpstreamCheck(
            ring=self._ring,
            timeouts=self.timeouts,
            clock=self._clock,
            attempts=attempts,
            find_credential=self._find_credential,
            resolver=self._resolver,
        )
        states = {}
        for upstream in upstreams:
            own = [each for each in credentials if each.upstream == upstream]
            findings, state = await check.look(upstream, own, with_key=True)
            states[upstream.name] = state
            bad = tuple(each for each in findings if each.ok is False)
            if bad != self._told.get(upstream.name, ()):  # once, and not every few minutes
                for finding in bad:
                    _logger.warning("%s: %s %s", finding.check.value, finding.detail, finding.advice or "")
            self._told[upstream.name] = bad
        self.states = MappingProxyType(states)
        return self.states

    async def close(self) -> None:
        """
        Let go of the stream and the registry. Cancel `run` before.
        """
        await asyncio.to_thread(self._journal.close)
        self._store.close()

    @contextlib.asynccontextmanager
    async def _hold(self) -> AsyncIterator[Journal]:
        yield self._journal

    async def _find_credential(self, name: str) -> Credential | None:
        def find() -> Credential | None:
            with self._store.reading() as registry:
                return registry.find_credential(name)

        return await asyncio.to_thread(find)

    def _read(self) -> tuple[int, Sequence[Upstream], Sequence[Credential]]:
        with self._store.reading() as registry:
            upstreams = list(registry.find_upstreams().values())
            return registry.version, upstreams, list(registry.find_credentials().values())

    def __repr__(self) -> str:
        return f"<Prober of {len(self.states)} upstreams>"
