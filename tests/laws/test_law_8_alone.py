"""
Law 8, the data plane stands alone: without a readable registry it serves whom it knows, for a day, and no longer.
"""

from __future__ import annotations

import ast
import asyncio
import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from installation import API, wait_until
from worker_in_loop import HandHeldClock, open_worker

import gateway
from gateway.administration import tokens
from gateway.cli.node import _plan
from gateway.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from installation import Installation
    from noojee import Noojee
    from worker_in_loop import OpenWorker

HANGUP = f"{API}/hangup?extenOrUniqueId=410"
MAX_AGE = timedelta(hours=24)


def move_away(data_dir: Path) -> None:
    """
    The registry is not where it was.
    """
    (data_dir / "gateway.db").rename(data_dir / "moved")


def replace(data_dir: Path) -> None:
    """
    Something else has the registry's name.
    """
    (data_dir / "garbage").write_bytes(os.urandom(65536))
    (data_dir / "garbage").rename(data_dir / "gateway.db")


async def lose_registry(worker: OpenWorker, lose: Callable[[Path], None], data_dir: Path) -> None:
    """
    Make the registry unreadable, and return when the worker has noticed.
    """
    lose(data_dir)
    await asyncio.to_thread(wait_until, lambda: worker.worker.readiness().state == "degraded", "it is noticed")


@pytest.mark.parametrize("lose", [move_away, replace])
def test_known_callers_are_served_for_a_day_without_the_registry(
    installation: Installation, noojee: Noojee, lose: Callable[[Path], None]
) -> None:
    """
    Degraded, still ready; one second after the day 503 and nothing sent.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    clock = HandHeldClock()

    async def transcript() -> None:
        async with open_worker(installation, clock) as worker:
            await lose_registry(worker, lose, installation.data_dir)
            for step in (timedelta(0), MAX_AGE - timedelta(seconds=1)):
                clock.move(step)

                response = await worker.call(HANGUP, token)

                assert b'"reason"' not in response.body, response.body
                assert b"degraded" == (await worker.call("/readyz", method="GET")).body
            assert 2 == len(noojee.requests())
            clock.move(timedelta(seconds=2))

            stale = await worker.call(HANGUP, token)

            assert (503, "snapshot_stale") == (stale.status, stale.reason)
            assert 2 == len(noojee.requests())
            readiness = await worker.call("/readyz", method="GET")
            assert (503, b"unready") == (readiness.status, readiness.body)

    asyncio.run(transcript())


def test_how_long_is_for_the_operator_to_choose(installation: Installation, noojee: Noojee) -> None:
    """
    `GATEWAY_SNAPSHOT_MAX_AGE`, as `serve` hands it on.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    settings = Settings(data_dir=installation.data_dir, snapshot_max_age=timedelta(minutes=1))
    chosen = _plan(settings, settings.max_connections).snapshot_max_age_seconds
    clock = HandHeldClock()

    async def transcript() -> None:
        async with open_worker(installation, clock, snapshot_max_age_seconds=chosen) as worker:
            await lose_registry(worker, move_away, installation.data_dir)
            clock.move(timedelta(seconds=59))
            assert b'"reason"' not in (await worker.call(HANGUP, token)).body
            clock.move(timedelta(seconds=2))

            stale = await worker.call(HANGUP, token)

            assert (503, "snapshot_stale") == (stale.status, stale.reason)
            assert 1 == len(noojee.requests())

    asyncio.run(transcript())


def test_a_registry_that_is_back_is_read_again(installation: Installation, noojee: Noojee) -> None:
    """
    However old the snapshot had become; what was changed meanwhile is in force.
    """
    token = installation.add_caller("crm", [("everything", ["*"])])
    clock = HandHeldClock()

    async def transcript() -> None:
        async with open_worker(installation, clock) as worker:
            await lose_registry(worker, move_away, installation.data_dir)
            clock.move(2 * MAX_AGE)
            assert 503 == (await worker.call(HANGUP, token)).status

            (installation.data_dir / "moved").rename(installation.data_dir / "gateway.db")

            await asyncio.to_thread(wait_until, lambda: worker.worker.readiness().state == "ready", "it is read again")
            assert b'"reason"' not in (await worker.call(HANGUP, token)).body
            assert 1 == len(noojee.requests())

    asyncio.run(transcript())


@pytest.mark.parametrize("registry", ["readable", "lost"])
def test_expiry_and_network_are_checked_on_every_call(
    installation: Installation, noojee: Noojee, registry: str
) -> None:
    """
    A token ends at its instant though nothing was read since, and a network is refused each time.
    """
    installation.add_caller("crm", [("everything", ["*"])])
    with installation.desk() as desk:
        _, secret = tokens.issue(desk, "crm", expires_in=timedelta(hours=1))
    token = secret.reveal()
    elsewhere = installation.add_caller("elsewhere", [("everything", ["*"])], networks=["192.0.2.0/24"])
    clock = HandHeldClock()

    async def transcript() -> None:
        async with open_worker(installation, clock) as worker:
            if registry == "lost":
                await lose_registry(worker, move_away, installation.data_dir)
            for _ in range(2):
                assert b'"reason"' not in (await worker.call(HANGUP, token)).body
                refused = await worker.call(HANGUP, elsewhere)
                assert (403, "network_not_allowed") == (refused.status, refused.reason)
            clock.move(timedelta(hours=1, seconds=1))

            expired = await worker.call(HANGUP, token)

            assert (401, "token_invalid") == (expired.status, expired.reason)
            assert 2 == len(noojee.requests())

    asyncio.run(transcript())


@pytest.mark.parametrize(
    ("plane", "strangers"),
    [
        ("data_plane", {"control_plane", "evidence", "administration", "cli", "simulator"}),
        ("control_plane", {"data_plane", "cli", "simulator"}),
    ],
)
def test_no_plane_needs_the_other(plane: str, strangers: set[str]) -> None:
    """
    What is not imported cannot take it down.
    """
    package = Path(gateway.__file__).parent
    imported = set()
    for path in (package / plane).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gateway."):
                imported.add(str(node.module).split(".")[1])
            elif isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("gateway.")}

    assert imported
    assert set() == imported & strangers
