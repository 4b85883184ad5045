"""
What faults are made on: a simulator, and file systems small enough to be filled.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from installation import Installation
from noojee import Noojee, run_noojee
from small_disk import SmallDisk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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
def journal_disk(installation: Installation) -> Iterator[SmallDisk]:
    """
    A file system of the journal's own, of 1 MiB, with what was recorded so far; 64 KiB of it are the workers' reserve.
    """
    installation.environment["GATEWAY_JOURNAL_RESERVE"] = "64KiB"
    journal, aside = installation.data_dir / "journal", installation.data_dir / "journal-before"
    journal.rename(aside)
    journal.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", str(journal)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    shutil.copytree(aside, journal, dirs_exist_ok=True)
    shutil.rmtree(aside)
    yield SmallDisk(journal)
    subprocess.run(["umount", "-l", str(journal)], check=True)
