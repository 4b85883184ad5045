"""
One simulator and one gateway for all laws, and whatever a law needs of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from installation import Installation
from noojee import House, Noojee, open_house, run_noojee

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def running_noojee(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Noojee]:
    """
    One simulator.
    """
    with run_noojee(tmp_path_factory.mktemp("noojee")) as noojee:
        yield noojee


@pytest.fixture
def noojee(running_noojee: Noojee) -> Noojee:
    """
    The simulator, with everything forgotten.
    """
    running_noojee.reset()
    return running_noojee


@pytest.fixture(scope="session")
def house(running_noojee: Noojee, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """
    `serve` as a process that logs at debug level, with callers that may do different things.
    """
    with open_house(tmp_path_factory.mktemp("house") / "data", running_noojee) as house:
        yield house


@pytest.fixture
def installation(tmp_path: Path, noojee: Noojee) -> Installation:
    """
    A data folder with the simulator as its upstream and both kinds of credential, nothing running.
    """
    made = Installation(tmp_path / "data", noojee.simulator)
    made.set_up()
    return made
