"""
A gateway that serves all tests of a module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from noojee import House, Noojee, open_house

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def house(running_noojee: Noojee, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """
    A gateway for all tests of a module, with callers that may do different things.
    """
    with open_house(tmp_path_factory.mktemp("house") / "data", running_noojee) as house:
        yield house
