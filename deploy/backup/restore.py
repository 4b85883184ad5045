#!/usr/bin/env python3
"""
Makes a data folder from a backup of `backup.py`, after looking at every checksum. Never touches one that is there.

What was changed since the backup is gone from the registry: a token that was revoked since then is valid again. The
copied journal does not tell of it, the lost one would have; so look at what you know, and revoke anew.

Runs as the user that the gateway will run as, or as root with `--owner`; on the standard library of Python 3.11 alone.
"""

# ruff: noqa: T201 - standard output is where a script says what it did

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import sys
from pathlib import Path

_SUMS = "SHA256SUMS"
_BLOCK_BYTES = 1024 * 1024
_LINE = re.compile(r"([0-9a-f]{64})  (gateway\.db|[a-z]+\.(?:key|pub)|journal/[a-z0-9-]+/[0-9]{8}\.jsonl)")


class RefusedError(Exception):
    """
    What keeps the backup from being restored, and what to do.
    """


def restore(backup: Path, data_dir: Path, *, master_key: Path | None = None, owner: str | None = None) -> int:
    """
    Make the data folder. It has its name only when it is whole and on disk.

    Args:
        master_key: To be put into the folder; None where the settings name it elsewhere.
        owner: The user to whom everything is given; None for our own.

    Returns:
        How many files of the backup it has.

    Raises:
        RefusedError: Nothing was made.
    """
    if data_dir.exists():
        raise RefusedError(f"{data_dir} is there already. Move it away first; nothing in it was touched.")
    sums = _parse_sums(backup)
    draft = data_dir.with_name(f".{data_dir.name}.{os.getpid()}")
    draft.mkdir(mode=0o700)
    try:
        for name, checksum in sums.items():
            (draft / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _copy(backup / name, draft / name) != checksum:
                raise RefusedError(f"{name} is not what was backed up. Take another backup; nothing was made.")
        if master_key is not None:
            _copy(master_key, draft / "master.key")
        (draft / "run").mkdir(mode=0o700)
        if owner is not None:
            for path in [draft, *draft.rglob("*")]:
                shutil.chown(path, owner, owner)
        for folder in sorted((path for path in draft.rglob("*") if path.is_dir()), reverse=True):
            _sync_folder(folder)
        _sync_folder(draft)
        draft.rename(data_dir)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    _sync_folder(data_dir.parent)
    return len(sums)


def _parse_sums(backup: Path) -> dict[str, str]:
    """
    The checksum of each file by its name, which is one of those that a backup has.
    """
    lines = (backup / _SUMS).read_text().splitlines()
    matches = [_LINE.fullmatch(line) for line in lines]
    sums = {match[2]: match[1] for match in matches if match is not None}
    if len(sums) != len(lines) or not {"gateway.db", "audit.key"} <= set(sums) or "master.key" in sums:
        raise RefusedError(f"{backup / _SUMS} is not what backup.py writes.")
    return sums


def _copy(source: Path, target: Path) -> str:
    """
    Copy a file, on disk when this returns. Returns its SHA-256.
    """
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    digest = hashlib.sha256()
    with source.open("rb") as reading, os.fdopen(descriptor, "wb") as writing:
        while block := reading.read(_BLOCK_BYTES):
            digest.update(block)
            writing.write(block)
        writing.flush()
        os.fsync(writing.fileno())
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def main() -> int:
    """
    Restore one backup, and say what comes next.
    """
    parser = argparse.ArgumentParser(
        description="Make a gateway's data folder from a backup.",
        epilog="Run it as the user that the gateway runs as, or as root with --owner; with the gateway stopped.",
    )
    parser.add_argument("backup", type=Path, metavar="BACKUP", help="a folder that backup.py made")
    parser.add_argument("data", type=Path, metavar="DATA", help="the data folder to make; it must not exist")
    parser.add_argument("--master-key", type=Path, metavar="FILE", help="put this master key into the data folder")
    parser.add_argument("--owner", metavar="USER", help="give the folder to this user and its group; needs root")
    args = parser.parse_args()
    os.umask(0o077)
    try:
        files = restore(args.backup, args.data, master_key=args.master_key, owner=args.owner)
    except (RefusedError, OSError, LookupError) as error:
        print(f"restore.py: nothing was restored: {error}", file=sys.stderr)
        return 1
    print(
        f"{args.data}: {files} files. Next: noojee-gateway audit verify; then serve; then revoke anew what was revoked"
    )
    print("since the backup was made, for it is valid again: token list, caller list, credential list.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
