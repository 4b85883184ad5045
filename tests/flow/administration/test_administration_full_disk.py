"""
A disk without a free byte, a real one: a file system of 2 MiB in a mount namespace of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_STORY = """
import json, os, sys
from pathlib import Path
from gateway.administration import callers, credentials, installation, tokens, upstreams
from gateway.administration.desk import Desk
from gateway.clock import SystemClock
from gateway.errors import GatewayError
from gateway.registry.store import Store
from gateway.secret import Secret

root, is_serving = Path(sys.argv[1]), sys.argv[2] == "serving"
data_dir = root / "data"
place = {"data_dir": data_dir, "run_dir": data_dir / "run", "master_key_file": data_dir / "master.key", "node": "test",
         "clock": SystemClock()}
told = []

def fill():
    descriptor = os.open(root / "fill", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for size in (65536, 4096, 1):
        try:
            while True:
                os.write(descriptor, b"x" * size)
        except OSError:
            continue
    os.close(descriptor)

def act(verb):
    try:
        with Desk.open(**place) as desk:
            verb(desk)
        told.append("done")
    except GatewayError as error:
        told.append(error.reason.value)

installation.init(**place)
with Desk.open(**place) as desk:
    upstreams.add(desk, "noojee", url="https://noojee.example.com")
    credentials.add(desk, "alice", upstream="noojee", kind="user", owner="alice", key=Secret("k" * 36))
    callers.add(desk, "crm", networks=(), query_token_allowed=True)
    issued, _ = tokens.issue(desk, "crm", expires_in=None)
store = Store.open(data_dir / "gateway.db")
if is_serving:
    store.version()
else:
    store.close()
fill()
act(lambda desk: tokens.revoke(desk, issued["token_id"]))
act(lambda desk: callers.disable(desk, "crm"))
act(lambda desk: credentials.remove(desk, "alice"))
with Desk.open(**place) as desk:
    states = [callers.get(desk, "crm")["state"], tokens.find_all(desk)[0]["state"], len(credentials.find_all(desk))]
os.unlink(root / "fill")
with Desk.open(**place) as desk:
    callers.add(desk, "next", networks=(), query_token_allowed=True)
records = [json.loads(line) for path in sorted((data_dir / "journal" / "admin").glob("*.jsonl"))
           for line in path.read_bytes().splitlines()]
print(json.dumps({"told": told, "states": states, "tags": [record["tag"] for record in records],
                  "reserve": (data_dir / "gateway.db-reserve").stat().st_size}))
"""

_UNSHARE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]


def _run_on_small_disk(folder: Path, situation: str) -> dict[str, Any]:
    script = 'mount -t tmpfs -o size=2m,mode=700 tmpfs "$1" || exit 77; exec "$2" -c "$3" "$1" "$4"'
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here, so no file system of our own")
    words = [*_UNSHARE, "sh", "-c", script, "sh", str(folder), sys.executable, _STORY, situation]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip("this machine lets us mount nothing")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("situation", ["serving", "alone"])
def test_access_is_ended_on_a_disk_without_a_free_byte(tmp_path: Path, situation: str) -> None:
    """
    Revoke, disable and remove act, from the registry's reserve, with a gateway that holds it open and without.

    Whether the journal finds room for a record in what the reserve freed or is owed it: each is there in the end.
    """
    found = _run_on_small_disk(tmp_path, situation)

    assert ["disabled", "revoked", 0] == found["states"]
    assert set(found["told"]) <= {"done", "journal_unavailable"}
    assert 1 == found["tags"].count("token.revoked") == found["tags"].count("caller.disabled")
    assert 1 == found["tags"].count("credential.removed")
    assert "caller.added" == found["tags"][-1]
    assert 256 * 1024 == found["reserve"]
