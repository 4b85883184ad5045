"""
Installations for the administration's tests, each test with a copy of its own.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from admin_office import GLOBAL_KEY, USER_KEY, Office

from gateway.administration import callers, credentials, installation, upstreams

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.administration.desk import Desk


@pytest.fixture
def bare(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Office:
    """
    No installation yet.
    """
    # The run folder has a short name: a socket's path has about a hundred bytes.
    return Office(tmp_path / "data", tmp_path_factory.mktemp("r"))


@pytest.fixture(scope="session")
def _prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    office = Office(folder / "data", folder / "run")
    installation.init(**office.place)
    with office.open_desk() as desk:
        upstreams.add(desk, "noojee", url="https://noojee.example.com")
        credentials.add(desk, "everything", upstream="noojee", kind="global", owner=None, key=GLOBAL_KEY)
        credentials.add(desk, "alice", upstream="noojee", kind="user", owner="alice@example.com", key=USER_KEY)
        callers.add(desk, "crm", networks=(), query_token_allowed=True)
    return office.data_dir


@pytest.fixture
def office(bare: Office, _prepared: Path) -> Office:
    """
    An installation with the upstream `noojee`, the credentials `everything` and `alice`, the caller `crm`.
    """
    shutil.copytree(_prepared, bare.data_dir)
    return bare


@pytest.fixture
def desk(office: Office) -> Iterator[Desk]:
    """
    The desk of that installation.
    """
    with office.open_desk() as desk:
        yield desk
