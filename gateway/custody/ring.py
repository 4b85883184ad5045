"""
The ring: the versions of the master key, under which everything else at rest is sealed.

A text file with one `version base64(32 bytes)` a line; the highest version seals, every version opens. It comes from a
file and never from an environment value, which any child process and any crash report would show.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from gateway import durable
from gateway.custody.key_file import KeyFileFormatError, create_key_file, parse_versions, read_key_file, render_versions
from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Ring"]

_KEY_BYTES = 32


class Ring:
    """
    All versions of the master key. Immutable; shows no key.

    Args:
        versions: 32 bytes by version, at least one.
        path: Where it was read from, for messages.
    """

    def __init__(self, versions: Mapping[int, bytes], path: Path) -> None:
        self._versions = dict(versions)
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
        return cls(versions, path)

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
        The 32 bytes of a version; None when it is not in the ring. For `cipher` alone.
        """
        return self._versions.get(version)

    def __repr__(self) -> str:
        return f"<Ring {self.path}: versions {sorted(self._versions)}>"
