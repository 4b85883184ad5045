"""
Who calls: the API keys, and what each kind may call.

One global key (every operation) and one key for each user (campaign operations, campaigns of the user's teams). A key
is presented as itself, `apiKey`, or by the hash method, as `timeStamp` and `hash`, whose ages `hash_pairs` knows.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.simulator.certificates import write_private
from gateway.simulator.hash_pairs import HashPairs, compute_hash
from gateway.simulator.messages import RefusalError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Holder", "KeyBook"]

_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_KEY = re.compile(r"[!-~]{1,256}")


@dataclass(frozen=True, slots=True)
class Holder:
    """
    Whose key was presented: a user's login, or `None` for the global key.
    """

    login: str | None

    @property
    def is_global(self) -> bool:
        """
        True for the key that opens every operation and all data.
        """
        return self.login is None

    def may_call(self, operation: str) -> bool:
        """
        True for campaign operations, and for all with the global key (vendor's page; its example is subscribe).
        """
        return self.is_global or operation.startswith("CampaignAPI/")


class KeyBook:
    """
    The keys of one simulator, each in a file of its own: `global.key` and `LOGIN.key`, mode 0600, made when absent.

    Keys we make are UUIDs. A file that is there already is read whatever its form, so that a test can plant its own.

    Args:
        folder: Where the files are.
        logins: The users.
        pairs: The ages of hash pairs; by the documented rules when none is given.
    """

    def __init__(self, folder: Path, logins: Sequence[str], pairs: HashPairs | None = None) -> None:
        for login in logins:
            if not _LOGIN.fullmatch(login) or login == "global":
                raise ValueError(
                    f"{login!r} cannot be a login here: letters, digits, dots and dashes, and not 'global'"
                )
        self.global_key_file: Path = folder / "global.key"
        self.user_key_files: Mapping[str, Path] = {login: folder / f"{login}.key" for login in logins}
        self._holders = {_ensure_key(self.global_key_file): Holder(None)}
        for login, path in self.user_key_files.items():
            self._holders[_ensure_key(path)] = Holder(login)
        self.pairs = pairs or HashPairs()

    def __repr__(self) -> str:
        return f"<KeyBook global and {len(self.user_key_files)} users>"

    def authenticate(self, parameters: Mapping[str, str], operation: str) -> Holder:
        """
        The holder of the key among the parameters, who may call the operation. `apiKey` goes before a hash pair.

        Raises:
            RefusalError: 401 without a key, 403 with one that is unknown or opens less than the operation; what
                `HashPairs.check` raises.
        """
        key, time_stamp, digest = (parameters.get(name) for name in ("apiKey", "timeStamp", "hash"))
        if not key and time_stamp and digest:
            return self._authenticate_pair(time_stamp, digest, operation)
        if not key:
            raise RefusalError(401, "API key missing")
        return _check_scope(self._holders.get(key), operation)

    def _authenticate_pair(self, time_stamp: str, digest: str, operation: str) -> Holder:
        holders = (holder for key, holder in self._holders.items() if compute_hash(key, time_stamp) == digest)
        holder = _check_scope(next(holders, None), operation)
        self.pairs.check(time_stamp, digest)
        self.pairs.note_use(time_stamp, digest, holder.login or "global")
        return holder


def _check_scope(holder: Holder | None, operation: str) -> Holder:
    if holder is None:
        raise RefusalError(403, "API key unknown")
    if not holder.may_call(operation):
        raise RefusalError(403, "API key not authorised for this method")
    return holder


def _ensure_key(path: Path) -> str:
    if not path.exists():
        write_private(path, f"{uuid.uuid4()}\n".encode())
    key = path.read_text("ascii").strip()
    if not _KEY.fullmatch(key):
        raise ValueError(f"{path} does not hold an API key: remove it and a new one is made")
    return key
