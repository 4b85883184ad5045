"""
One simulator and one gateway for all laws.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from noojee import House, Noojee, open_house, run_noojee

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def running_noojee(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Noojee]:
    """
    One simulator.
    """
    with run_noojee(tmp_path_factory.mktemp("noojee")) as noojee:
        yield noojee


@pytest.fixture(scope="session")
def house(running_noojee: Noojee, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """
    `serve` as a process that logs at debug level, with callers that may do different things.
    """
    with open_house(tmp_path_factory.mktemp("house") / "data", running_noojee) as house:
        yield house
