"""
The system calls on which durability rests.
"""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING

import pytest

from gateway import durable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    """
    A new file, opened for appending.
    """
    fd = durable.create_file(tmp_path / "file")
    yield fd
    os.close(fd)


def test_short_writes_are_continued(fd: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The system may take less than it was given.
    """
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))

    durable.write(fd, b"0123456789")

    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_sync_reaches_the_platter_where_there_is_no_fdatasync(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    macOS: `F_FULLFSYNC`; where the file system lacks that, or there is no such thing, `fsync`.
    """
    calls: list[str] = []
    monkeypatch.delattr(os, "fdatasync", raising=False)
    monkeypatch.setattr(os, "fsync", lambda _: calls.append("fsync"))
    durable.sync(fd)

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda _, command: calls.append(f"fcntl {command}"))
    durable.sync(fd)

    def lack(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "marked")

    monkeypatch.setattr(fcntl, "fcntl", lack)
    durable.sync(fd)

    assert calls == ["fsync", "fcntl 51", "fsync"]


def test_nothing_is_created_over_what_is_there(tmp_path: Path) -> None:
    """
    Not over a file, not through a link.
    """
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "file").touch()

    for name in ("link", "file"):
        with pytest.raises(FileExistsError):
            durable.create_file(tmp_path / name)
    assert not (tmp_path / "elsewhere").exists()


def test_a_lock_is_taken_once_and_not_through_a_link(tmp_path: Path) -> None:
    """
    By one open file at a time, within one process too.
    """
    path = tmp_path / "lock"
    (tmp_path / "link").symlink_to(path)
    held = durable.lock(path)

    with pytest.raises(BlockingIOError):
        durable.lock(path, wait_seconds=0.05)
    os.close(held)
    os.close(durable.lock(path))

    with pytest.raises(OSError, match="symbolic links"):
        durable.lock(tmp_path / "link")


def test_an_error_is_described_without_its_path() -> None:
    """
    For an operator, who is told the file by whoever knows it.
    """
    assert durable.describe(OSError(errno.ENOSPC, "x", "/secret/path")) == "No space left on device"
    assert durable.describe(BlockingIOError()) == "BlockingIOError"
