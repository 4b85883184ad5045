#!/usr/bin/env python3
"""
Copies a gateway's data folder while it serves: the registry, the journal and what is sealed, with checksums.

The master key is not among them and must not be: who holds both can open every stored key. Keep it by itself, on
another medium, and again after each rotation.

The registry is copied by SQLite's own online backup, in one consistent state. The journal follows it and not the other
way round: every change that the copied registry has is then on the copied journal too. Segments are only ever appended
to, so a prefix that ends with a whole line is what the journal was at that moment.

Runs as the data folder's owner, on the standard library of Python 3.11 alone.
"""

# ruff: noqa: T201 - standard output is where a script says what it did

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import sqlite3
import sys
import time
from pathlib import Path

_REGISTRY = "gateway.db"
_MASTER_KEY = "master.key"
_JOURNAL = "journal"
_SUMS = "SHA256SUMS"


class RefusedError(Exception):
    """
    What keeps the backup from being made, and what to do.
    """


def back_up(data_dir: Path, target: Path) -> int:
    """
    Make a backup in a new folder. It has its name only when it is whole and on disk.

    Returns:
        How many files it has.

    Raises:
        RefusedError: Nothing was left under that name.
    """
    _check(data_dir, target)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    draft.mkdir(mode=0o700)
    try:
        copied = [_copy_registry(data_dir / _REGISTRY, draft / _REGISTRY)]
        copied += _copy_sealed_keys(data_dir, draft)
        copied += _copy_journal(data_dir / _JOURNAL, draft / _JOURNAL)
        sums = [f"{_hash_file(path)}  {path.relative_to(draft)}\n" for path in sorted(copied)]
        _write(draft / _SUMS, "".join(sums).encode())
        for folder in sorted({path.parent for path in copied}, reverse=True):
            _sync_folder(folder)
        draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    _sync_folder(target.parent)
    return len(copied)


def _check(data_dir: Path, target: Path) -> None:
    if not (data_dir / _REGISTRY).is_file():
        raise RefusedError(f"{data_dir} is no data folder: it has no {_REGISTRY}.")
    owner = data_dir.stat().st_uid
    if owner != os.geteuid():
        # SQLite would leave files of ours beside the registry that the service could not write.
        raise RefusedError(f"{data_dir} belongs to user {owner}. Run this as that user: sudo -u '#{owner}' ...")
    if target.exists():
        raise RefusedError(f"{target} is there already. A backup is a new folder each time.")
    if not target.parent.is_dir():
        raise RefusedError(f"{target.parent} is no folder.")
    if target.resolve().is_relative_to(data_dir.resolve()):
        raise RefusedError(f"{target} is inside the data folder, and would be lost with it.")


def _copy_registry(source: Path, target: Path) -> Path:
    _write(target, b"")  # with our mode, before SQLite opens it
    with (
        contextlib.closing(sqlite3.connect(source, timeout=30)) as live,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        live.backup(copy)
        # One file that needs no other beside it; the gateway switches the log back on.
        copy.execute("PRAGMA journal_mode = DELETE")
        [(found,)] = copy.execute("PRAGMA integrity_check(1)")
    if found != "ok":
        raise RefusedError(f"the registry is damaged: {found}. Keep your older backups.")
    return target


def _copy_sealed_keys(source: Path, target: Path) -> list[Path]:
    """
    What is sealed under the master key, and so opens nothing without it.
    """
    found = sorted(path for pattern in ("*.key", "*.pub") for path in source.glob(pattern) if path.name != _MASTER_KEY)
    return [_copy_file(path, target / path.name) for path in found]


def _copy_journal(source: Path, target: Path) -> list[Path]:
    target.mkdir(mode=0o700)
    copied = []
    for stream in sorted(path for path in source.iterdir() if path.is_dir()):
        (target / stream.name).mkdir(mode=0o700)
        # Listed once: a segment that begins from now on is for the next backup, and the last one listed may still grow.
        segments = sorted(stream.glob("*.jsonl"))
        copied += [_copy_file(each, target / stream.name / each.name, to_last_line=True) for each in segments]
        _sync_folder(target / stream.name)
    return copied


def _copy_file(source: Path, target: Path, *, to_last_line: bool = False) -> Path:
    data = source.read_bytes()
    if to_last_line:
        data = data[: data.rfind(b"\n") + 1]  # the rest is a record that is being written
    return _write(target, data)


def _write(path: Path, data: bytes) -> Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return path


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def main() -> int:
    """
    Make one backup, named by the time.
    """
    parser = argparse.ArgumentParser(
        description="Back up a gateway's data folder while it serves. The master key is not in the backup.",
        epilog="Run it as the data folder's owner. A copy of the master key belongs somewhere else.",
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="the data folder, as /var/lib/noojee-gateway")
    parser.add_argument("into", type=Path, metavar="INTO", help="the folder in which the backup becomes a folder")
    args = parser.parse_args()
    os.umask(0o077)
    target = args.into / time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime())
    try:
        files = back_up(args.data, target)
    except (RefusedError, OSError, sqlite3.Error) as error:
        print(f"backup.py: no backup was made: {error}", file=sys.stderr)
        return 1
    print(f"{target}: {files} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
