"""
How one key file takes the place of another, and when it must not.

The new file is whole and on disk under another name before it gets the old one's, so whoever is killed at any step
leaves the old file or the new one, and never a part. A file that is not ours to replace is refused before anything
changes: whatever put it there, a mounted secret or another user, would put the old one back, or keep us from it half
way. Knows nothing of what the keys are for.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NoReturn

from gateway import durable
from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_replaceable", "replace_key_file"]


def check_replaceable(path: Path) -> None:
    """
    Refuses a key file that is not ours to replace. Changes nothing.

    Raises:
        OperatorError: `key_file_read_only`, with what is in the way.
    """
    try:
        found, folder = path.lstat(), path.parent.stat()
    except OSError as error:
        _refuse(path, f"it cannot be looked at ({durable.describe(error)})")
    if stat.S_ISLNK(found.st_mode):
        # Kubernetes mounts secrets so. Replacing the link would leave what it names as it was.
        _refuse(path, "it is a link; name the file itself if it is yours")
    if found.st_uid != os.geteuid():
        _refuse(path, "it belongs to another user")
    if found.st_dev != folder.st_dev:
        _refuse(path, "it is mounted there by itself")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        _refuse(path, f"the folder {path.parent} is read-only")


def replace_key_file(path: Path, text: str) -> None:
    """
    Put a key file, 0600, in the place of that of this name; on disk when this returns. One process at a time.

    Atomic: a crash anywhere leaves one of the two under the name, and perhaps a `.<name>.new` that the next call
    replaces.

    Raises:
        OSError: It could not be written, and the old file stands; or it was, and only that its name is on disk is not
            known.
    """
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)  # left by a verb that was killed; nothing was ever sealed under what is in it
    descriptor = durable.create_file(draft)
    try:
        durable.write(descriptor, text.encode("ascii"))
        durable.sync(descriptor)
        # The new file is whole. A crash here leaves the old one in force.
        durable.rename(draft, path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    # The new one is in force. A crash of the machine may still bring the old one back, until:
    durable.sync_folder(path.parent)


def _refuse(path: Path, obstacle: str) -> NoReturn:
    raise OperatorError(OperatorReason.KEY_FILE_READ_ONLY, f"{path} is not ours to replace: {obstacle}.")
