"""
What flow tests, law tests and fault tests stand on: the simulator, and a gateway's data folder before it.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from installation import Gateway, Installation
from noojee import Noojee, run_noojee

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# A shell that starts us in the background has Ctrl-C ignored, and a process that inherits that cannot be ended by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def running_noojee(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Noojee]:
    """
    One simulator for a module.
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


@pytest.fixture
def installation(tmp_path: Path, noojee: Noojee) -> Installation:
    """
    A data folder with the simulator as its upstream and both kinds of credential, nothing running.
    """
    made = Installation(tmp_path / "data", noojee.simulator)
    made.set_up()
    return made


@pytest.fixture
def gateway(installation: Installation) -> Iterator[Gateway]:
    """
    `serve` as a process on that folder.
    """
    with installation.serve() as running:
        yield running
