"""
The prober: each upstream every few minutes, on record, told as values and logged once.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from gateway.clock import SystemClock
from gateway.diagnosis.prober import Prober
from gateway.errors import StorageError
from gateway.upstream.request import Timeouts

if TYPE_CHECKING:
    from installation import Installation
    from noojee import Noojee


async def open_prober(installation: Installation) -> Prober:
    """
    One on this data folder.
    """
    place = installation.settings
    return await Prober.open(
        data_dir=place["data_dir"],
        master_key_file=place["master_key_file"],
        node="test",
        timeouts=Timeouts(connect_seconds=2.0),
        clock=SystemClock(),
    )


def test_a_round_tells_each_upstream_as_values_and_is_on_record(
    installation: Installation, noojee: Noojee, caplog: pytest.LogCaptureFixture
) -> None:
    """
    On the stream `control`; what is wrong is logged when it begins, and not every few minutes.
    """

    async def story() -> None:
        prober = await open_prober(installation)
        try:
            assert {} == prober.states
            state = (await prober.probe())["noojee"]
            assert (True, True, {"campaigns": True, "everything": True}) == (
                state.is_reachable,
                state.is_allowed,
                state.keys,
            )
            assert state.certificate_ends_at is not None
            assert abs(state.clock_skew_seconds or 9) < 2
            noojee.break_next("Time", "status", 403, times=2)
            for _ in range(2):
                state = (await prober.probe())["noojee"]
            assert (True, False, {}) == (state.is_reachable, state.is_allowed, state.keys)
            assert state == prober.states["noojee"]
        finally:
            await prober.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(story())

    records = installation.journal("control")
    assert "prober.started" == records[0]["tag"]
    assert ["call.intended", "call.ended"] * 5 == [each["tag"] for each in records[1:]]
    assert {"gateway"} == {each["actor"] for each in records if each["tag"] == "call.intended"}
    assert 1 == caplog.text.count("refused this address")


def test_it_runs_until_it_is_cancelled_whatever_a_round_meets(installation: Installation, noojee: Noojee) -> None:
    """
    A registry that cannot be read costs a round.
    """
    registry = installation.data_dir / "gateway.db"

    async def story() -> None:
        prober = await open_prober(installation)
        running = asyncio.create_task(prober.run(0.05))
        try:
            async with asyncio.timeout(10):
                while not prober.states:  # noqa: ASYNC110 - a prober tells nobody
                    await asyncio.sleep(0.01)
            registry.rename(registry.with_suffix(".away"))
            await asyncio.sleep(0.2)
            assert not running.done()
        finally:
            registry.with_suffix(".away").rename(registry)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await prober.close()

    asyncio.run(story())
    assert noojee.targets()


def test_two_probers_do_not_share_a_stream(installation: Installation) -> None:
    """
    The second is told so, and holds nothing.
    """

    async def story() -> None:
        first = await open_prober(installation)
        try:
            with pytest.raises(StorageError):
                await open_prober(installation)
        finally:
            await first.close()
        await (await open_prober(installation)).close()

    asyncio.run(story())
