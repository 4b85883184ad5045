"""
A data folder of each earlier revision opens, migrates, and its callers go on calling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from earlier_folders import FOLDERS, KEYS, copy_folder
from installation import API, CAMPAIGN_API, Installation

from gateway.custody import Ring, open_key
from gateway.registry.migrating import REVISIONS
from gateway.registry.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from noojee import Noojee


def test_a_folder_of_every_earlier_revision_is_kept() -> None:
    """
    Whoever adds a revision keeps a folder of the one before; tests/fixtures/registry/README.md says how.
    """
    kept = {path.name for path in FOLDERS.iterdir() if path.is_dir()}

    assert set(REVISIONS[:-1]) == kept - {REVISIONS[-1]}


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_the_token_of_an_earlier_folder_works(revision: str, tmp_path: Path, noojee: Noojee) -> None:
    """
    Migrated on record, its sealed keys open, and the same token calls what was granted and nothing else.

    The made-up host of the folder is then moved to the simulator, with the keys entered again, as a move always asks.
    """
    old = Installation(tmp_path / "data", noojee.simulator)
    token = copy_folder(revision, old.data_dir)
    migrated = old.verb("migrate")
    ring = Ring.load(old.data_dir / "master.key")
    with Store.open(old.data_dir / "gateway.db", brings_up_to_date=False) as store, store.reading() as registry:
        now, credentials = store.revision(), registry.find_credentials()
        states = {row.name: row.is_enabled for row in registry.find_callers()}
        opened = {name: open_key(ring, each).reveal() for name, each in credentials.items()}
    moved = old.verb(
        *("upstream", "set", "noojee", "--url", noojee.simulator.url, "--ca-file", str(noojee.simulator.ca_file)),
        text=f"{noojee.user_key}\n{noojee.global_key}\n",
    )
    with old.serve() as gateway:
        answers = [
            gateway.call(f"{API}/start?extenOrUniqueId=410", token),
            gateway.call(f"{CAMPAIGN_API}/getCampaignTemplateList", token),
            gateway.call(f"{API}/dial?number=0412345678&extenOrUniqueId=410", token),
        ]

    assert f"the registry was migrated from revision {revision} to {REVISIONS[-1]}\n" == migrated.stdout
    assert (REVISIONS[-1], KEYS) == (now, opened)
    assert {"crm": True, "wallboard": False} == states
    assert 0 == moved.returncode, moved.stderr
    assert [200, 200, 403] == [answer.status for answer in answers]
    assert "operation_not_granted" == answers[2].reason
    assert [
        "/servicemanager/rest/CallManagementAPI/start?apiKey=GLOBAL&extenOrUniqueId=410",
        "/servicemanager/rest/CampaignAPI/getCampaignTemplateList?apiKey=USER",
    ] == noojee.targets()
    assert ["change.intended", "registry.migrated"] == [
        record["tag"] for record in old.journal("admin") if record["subject"] == "registry"
    ][-2:]
    assert 0 == old.verb("audit", "verify").returncode
