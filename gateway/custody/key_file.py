"""
Files that hold keys: a few lines of `version base64`, readable by their owner alone.

Knows nothing of what the keys are for. What creates one fails when the name is taken; how one takes another's place is
`replacement`'s.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import stat
from typing import TYPE_CHECKING

from gateway import durable
from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "KeyFileFormatError",
    "check_owner_and_mode",
    "create_key_file",
    "parse_versions",
    "read_key_file",
    "render_versions",
]

_SIZE_LIMIT_BYTES = 64 * 1024
_LINE = re.compile(r"([1-9][0-9]{0,8}) ([A-Za-z0-9+/=]+)")


class KeyFileFormatError(ValueError):
    """
    A key file's text is not what it should be. Names a line's number, never what stands in it.
    """


def create_key_file(path: Path, text: str) -> None:
    """
    Write a key file, 0600, and return when it and its name are on disk.

    Raises:
        FileExistsError: The name is taken; a key is never replaced.
        OSError: It cannot be written; then nothing is left under the name, or a part that will be refused as malformed.
    """
    descriptor = durable.create_file(path)
    try:
        durable.write(descriptor, text.encode("ascii"))
        durable.sync(descriptor)
    except OSError:
        path.unlink(missing_ok=True)  # half a key would have to be removed by hand before `init` could run again
        raise
    finally:
        os.close(descriptor)
    durable.sync_folder(path.parent)


def read_key_file(path: Path) -> str:
    """
    The text of a key file that nobody else can read.

    A link is followed: that is how Kubernetes mounts secrets. The mode that counts is that of the opened file.

    Raises:
        OperatorError: `key_file_unsafe` when others may read or write it, `master_key_unusable` when it cannot be read.
    """
    try:
        # Not blocking: a FIFO of that name would hold a start up for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _unusable(f"The key file {path} cannot be read: {durable.describe(error)}. {_advise_missing()}") from None
    try:
        check_owner_and_mode(path, os.fstat(descriptor))
        data = os.read(descriptor, _SIZE_LIMIT_BYTES + 1)
    except OSError as error:
        raise _unusable(f"The key file {path} cannot be read: {durable.describe(error)}.") from None
    finally:
        os.close(descriptor)
    if len(data) > _SIZE_LIMIT_BYTES or not data.isascii():
        raise _unusable(f"{path} is no key file. Name the right one, or restore it from your backup.")
    return data.decode("ascii")


def render_versions(versions: Mapping[int, bytes]) -> str:
    """
    One line a version, the oldest first.
    """
    return "".join(f"{version} {base64.b64encode(versions[version]).decode()}\n" for version in sorted(versions))


def parse_versions(text: str) -> dict[int, bytes]:
    """
    The versions of a key file's text, at least one. Blank lines count for nothing.

    Raises:
        KeyFileFormatError: Anything else than `version base64` on a line, or a version twice.
    """
    versions: dict[int, bytes] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise KeyFileFormatError(f"line {number} is not `version base64`")
        version = int(match[1])
        if version in versions:
            raise KeyFileFormatError(f"line {number} repeats version {version}")
        try:
            versions[version] = base64.b64decode(match[2], validate=True)
        except binascii.Error:
            # Not chained: the text of the line is a key.
            raise KeyFileFormatError(f"line {number} holds no base64") from None
    if not versions:
        raise KeyFileFormatError("it holds no key")
    return versions


def check_owner_and_mode(path: Path, found: os.stat_result) -> None:
    """
    Refuse a file with a key that others could read or replace.

    Args:
        found: Of the opened file.

    Raises:
        OperatorError: `key_file_unsafe`; `master_key_unusable` for what is no file.
    """
    if not stat.S_ISREG(found.st_mode):
        raise _unusable(f"{path} is no file. Name the key file itself.")
    own = os.geteuid()
    if found.st_uid not in {own, 0}:
        raise OperatorError(
            OperatorReason.KEY_FILE_UNSAFE,
            f"{path} belongs to another user, who could replace it. Run `chown {own} {path}` as root.",
        )
    forbidden = 0o077
    if found.st_uid == 0 and own != 0:
        # systemd shows credentials as root's, with an access list for us, whose mask stands where the group's bits do
        # (systemd.exec(5), LoadCredential=). Only root can have arranged that.
        forbidden = 0o037
    if stat.S_IMODE(found.st_mode) & forbidden:
        raise OperatorError(
            OperatorReason.KEY_FILE_UNSAFE,
            f"{path} can be read or written by others. Run `chmod 600 {path}`, and replace the keys if someone may "
            "have read it.",
        )


def _unusable(detail: str) -> OperatorError:
    return OperatorError(OperatorReason.MASTER_KEY_UNUSABLE, detail)


def _advise_missing() -> str:
    return "Run `noojee-gateway init` for a new installation; otherwise restore it from your backup."
