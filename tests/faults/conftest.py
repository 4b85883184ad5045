"""
What faults are made on: file systems small enough to be filled.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from small_disk import SmallDisk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from installation import Installation


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
