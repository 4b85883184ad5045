"""
A scripted upstream for a module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scripted_upstream import ScriptedUpstream, run_scripted_upstream

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedUpstream]:
    """
    One that runs.
    """
    with run_scripted_upstream(tmp_path_factory.mktemp("scripted")) as upstream:
        yield upstream
