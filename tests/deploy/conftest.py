"""
What the tests of the shipped product share: the repository, a clean environment, short folders, programs as processes.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from program import Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_OF_THE_MAKE_ABOVE = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")


@pytest.fixture(scope="session")
def repository() -> Path:
    """
    The folder of README.md.
    """
    return Path(__file__).parents[2]


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """
    This environment without settings and without the make above us; the tested `noojee-gateway` first on the PATH.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GATEWAY_") and name not in _OF_THE_MAKE_ABOVE
    }
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """
    An empty folder whose path leaves room for the path of a socket; that of tmp_path may not.
    """
    with tempfile.TemporaryDirectory(prefix="ngw-") as folder:
        yield Path(folder)


@pytest.fixture
def start(
    tmp_path: Path, repository: Path, environment: dict[str, str]
) -> Iterator[Callable[[Sequence[str], Mapping[str, str]], Program]]:
    """
    Starts programs in the repository's folder; what is left of them at the end is killed.
    """
    started: list[Program] = []

    def start_program(words: Sequence[str], settings: Mapping[str, str]) -> Program:
        logs = tmp_path / f"program-{len(started)}"
        started.append(Program(words, folder=repository, logs=logs, environment=environment | dict(settings)))
        return started[-1]

    yield start_program
    for program in started:
        program.kill()
