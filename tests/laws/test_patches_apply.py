"""
The patches of `mutants/` still fit the code: told by every test run, not only by `make laws`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATCHES = sorted(Path(__file__).parent.glob("mutants/*.patch"))


@pytest.mark.skipif(shutil.which("git") is None, reason="git is what applies them")
@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_a_patch_applies(patch: Path) -> None:
    """
    One that does not breaks nothing, and its law would seem to be watched.
    """
    done = subprocess.run(
        ["git", "apply", "--check", str(patch)], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (0, "") == (done.returncode, done.stderr)


def test_each_law_has_its_patches() -> None:
    """
    One at least, two for each of the laws on which the rest stands.
    """
    laws = Counter(int(found[1]) for patch in PATCHES if (found := re.match(r"law-([0-9])-", patch.name)))

    assert set(range(1, 10)) == set(laws)
    assert not [law for law in range(1, 5) if laws[law] < 2]
