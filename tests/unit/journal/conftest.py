"""
What the tests of the journal share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.audit.journal import Journal
from gateway.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """
    Where the streams are: not there yet, as after `init`.
    """
    return tmp_path / "journal"


@pytest.fixture
def open_journal(root: Path) -> Iterator[Callable[..., Journal]]:
    """
    Opens a stream in `root`, `worker-0` unless told otherwise, and closes in the end what the test left open.
    """
    journals: list[Journal] = []

    def open_one(stream: str = "worker-0", **options: Any) -> Journal:
        journals.append(Journal.open(root, stream, node="gw1", clock=SystemClock(), **options))
        return journals[-1]

    yield open_one
    for journal in journals:
        journal.close()
