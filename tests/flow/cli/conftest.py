"""
Command lines on data folders of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from command_line import KEY, CommandLine

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bare(tmp_path: Path) -> CommandLine:
    """
    A command line without a data folder.
    """
    return CommandLine(tmp_path)


@pytest.fixture(scope="session")
def _prepared(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    cli = CommandLine(tmp_path_factory.mktemp("prepared"))
    for line in ("init", "upstream add noojee --url https://noojee.example.com", "caller add crm"):
        assert cli.run(line).code == 0
    for line in (
        "credential add everything --upstream noojee --kind global",
        "credential add maria --upstream noojee --kind user --owner maria",
    ):
        assert cli.run(line, stdin=KEY).code == 0
    return cli


@pytest.fixture
def cli(_prepared: CommandLine, tmp_path: Path) -> CommandLine:
    """
    A command line on a data folder with the upstream noojee, the credentials everything and maria, the caller crm.
    """
    return _prepared.copy(tmp_path)
