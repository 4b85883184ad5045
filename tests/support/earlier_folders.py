"""
Data folders of earlier revisions of the registry's schema, as tests/fixtures/registry keeps them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

FOLDERS = Path(__file__).parents[1] / "fixtures" / "registry"
KEYS = {
    "everything": "00000000-0000-4000-8000-00000000aaaa",
    "alice": "00000000-0000-4000-8000-00000000bbbb",
}
"""
The keys that are sealed in each, by credential's name.
"""


def copy_folder(revision: str, data_dir: Path) -> str:
    """
    A folder of that revision, readable by its owner alone. Returns the text of the token of its caller `crm`.
    """
    shutil.copytree(FOLDERS / revision, data_dir)
    token = data_dir / "token"
    text = token.read_text().strip()
    token.unlink()
    data_dir.chmod(0o700)
    for path in data_dir.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return text
