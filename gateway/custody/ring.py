"""
The ring: the versions of the master key, under which everything else at rest is sealed.

A text file with one `version base64(32 bytes)` a line; the highest version seals, every version opens. It comes from a
file and never from an environment value, which any child process and any crash report would show.

A process that runs while an operator adds a version reads the file again as soon as it meets a seal of a version that
it does not know. So the order of a rotation is: the version on disk first, then what is sealed under it.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING, Any

from gateway import durable
from gateway.custody.key_file import KeyFileFormatError, create_key_file, parse_versions, read_key_file, render_versions
from gateway.custody.replacement import check_replaceable, replace_key_file
from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

__all__ = ["Ring"]

_KEY_BYTES = 32

_Mark = tuple[int, int, int, int]
"""By which a file is told from the one that took its place: device, inode, size, time of the last change."""


class Ring:
    """
    All versions of the master key, as its file has them. Safe for use by several threads; shows no key.

    Attributes:
        ciphers: By version, each made of its key when it was first used. For `cipher` alone.

    Args:
        versions: 32 bytes by version, at least one.
        path: Where it was read from, and is read again.
        mark: What `_mark` said of the file before it was read.
    """

    def __init__(self, versions: Mapping[int, bytes], path: Path, mark: _Mark | None = None) -> None:
        self._versions = dict(versions)  # never changed, only replaced as a whole: a reader needs no lock
        self._mark = mark
        self.ciphers: dict[int, Any] = {}
        self.path = path

    @classmethod
    def create(cls, path: Path) -> Ring:
        """
        Make a ring of one version in a new file, 0600, on disk when this returns.

        Raises:
            FileExistsError: The name is taken; a key is never replaced.
            OperatorError: `master_key_unusable`: it cannot be written.
        """
        versions = {1: secrets.token_bytes(_KEY_BYTES)}
        try:
            create_key_file(path, render_versions(versions))
        except FileExistsError:
            raise
        except OSError as error:
            raise OperatorError(
                OperatorReason.MASTER_KEY_UNUSABLE,
                f"The master key {path} cannot be written: {durable.describe(error)}. Make its folder, or name another "
                "place with GATEWAY_MASTER_KEY_FILE.",
            ) from None
        return cls(versions, path)

    @classmethod
    def load(cls, path: Path) -> Ring:
        """
        Read the ring.

        Raises:
            OperatorError: `master_key_unusable` when it is missing or malformed, `key_file_unsafe` when others can
                read it.
        """
        versions, mark = _read(path)
        return cls(versions, path, mark)

    def refresh(self) -> None:
        """
        Read the file again if it is another than the one that was read: what counts is what stands in it now.

        Raises:
            OperatorError: As `load`; then the versions that were known stay.
        """
        if self._mark is None or _find_mark(self.path) != self._mark:
            versions, mark = _read(self.path)
            self._versions, self._mark = versions, mark
            self.ciphers = {}

    def add_version(self) -> int:
        """
        Add a version, with which everything is sealed from now on. Returns it; it is on disk then.

        One process at a time: whoever calls this or `prune` holds the operators' stream.

        Raises:
            OperatorError: `key_file_read_only`: the file is not ours to write. `master_key_unusable`: it could not be
                written; it may hold the version all the same, and nothing is sealed under that.
        """
        self.refresh()
        version = self.newest_version + 1
        self._replace({**self._versions, version: secrets.token_bytes(_KEY_BYTES)})
        return version

    def prune(self, versions: Collection[int]) -> None:
        """
        Remove versions; gone from the file on disk when this returns. What was sealed under them never opens again.

        Raises:
            OperatorError: As `add_version`.
        """
        self.refresh()
        self._replace({version: key for version, key in self._versions.items() if version not in versions})

    def check_writable(self) -> None:
        """
        Refuses a ring that is not ours to write, before anything is changed.

        Raises:
            OperatorError: `key_file_read_only`.
        """
        check_replaceable(self.path)

    @property
    def versions(self) -> list[int]:
        """
        All versions, the oldest first.
        """
        return sorted(self._versions)

    @property
    def newest_version(self) -> int:
        """
        The version that seals.
        """
        return max(self._versions)

    def get_key(self, version: int) -> bytes:
        """
        The 32 bytes of a version that is in the ring. For `cipher` alone.
        """
        return self._versions[version]

    def find_key(self, version: int) -> bytes | None:
        """
        The 32 bytes of a version; None when it is not in the ring, not even now. For `cipher` alone.

        For an unknown version this costs a look at the file (some microseconds), and reads it only when it is another.
        """
        if version not in self._versions:
            with contextlib.suppress(OperatorError):  # a ring that cannot be read again lacks the version
                self.refresh()
        return self._versions.get(version)

    def has_version(self, version: int) -> bool:
        """
        Whether a version is in the ring, which is read again when it was not.
        """
        return self.find_key(version) is not None

    def _replace(self, versions: Mapping[int, bytes]) -> None:
        check_replaceable(self.path)
        try:
            replace_key_file(self.path, render_versions(versions))
        except OSError as error:
            raise OperatorError(
                OperatorReason.MASTER_KEY_UNUSABLE,
                f"The master key {self.path} cannot be written: {durable.describe(error)}. Nothing is lost; look at "
                "its disk, then repeat the command.",
            ) from None
        finally:
            with contextlib.suppress(OperatorError):
                self.refresh()

    def __repr__(self) -> str:
        return f"<Ring {self.path}: versions {self.versions}>"


def _read(path: Path) -> tuple[dict[int, bytes], _Mark | None]:
    """
    The versions in a ring's file, and the file's mark from before they were read: a replacement meanwhile is noticed.
    """
    mark = _find_mark(path)
    try:
        versions = parse_versions(read_key_file(path))
        if any(len(key) != _KEY_BYTES for key in versions.values()):
            raise KeyFileFormatError(f"a key has not {_KEY_BYTES} bytes")
    except KeyFileFormatError as error:
        raise OperatorError(
            OperatorReason.MASTER_KEY_UNUSABLE,
            f"The master key {path} is malformed: {error}. Each line must be `version base64(32 bytes)`; restore "
            "the file from your backup.",
        ) from None
    return versions, mark


def _find_mark(path: Path) -> _Mark | None:
    try:
        found = path.stat()
    except OSError:
        return None  # whoever reads the file tells what is wrong with it
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
