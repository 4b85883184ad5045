"""
A credential as a value: what we know of a Noojee key without the key itself, which stays sealed (law 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.access.upstream import Upstream

__all__ = ["KEY_LEAST_LENGTH", "KEY_LONGEST_LENGTH", "Credential", "Kind"]

KEY_LEAST_LENGTH = 8
KEY_LONGEST_LENGTH = 256
"""What a credential's API key has in characters. Noojee's have 36; what is shorter than the least is no key of ours."""


class Kind(StrEnum):
    """
    The two kinds of API key, the least powerful first.
    """

    USER = "user"
    GLOBAL = "global"

    @property
    def power(self) -> int:
        """
        0 for `user`, 1 for `global`; the least powerful that serves is used (law 4).
        """
        return 0 if self is Kind.USER else 1


@dataclass(frozen=True, slots=True)
class Credential:
    """
    A key that Noojee issued and we hold.

    Attributes:
        credential_id: Never used again for another credential; the seal is bound to it.
        owner: The Noojee user a `user` credential acts for; None for `global`.
        sealed: The key under the master ring; None once the credential was removed while grants still name it.
    """

    credential_id: str
    name: str
    upstream: Upstream
    kind: Kind
    owner: str | None
    sealed: bytes | None

    @property
    def is_available(self) -> bool:
        """
        Whether there is a key to send.
        """
        return self.sealed is not None

    def __repr__(self) -> str:
        return (
            f"<Credential {self.name} ({self.kind}) of {self.upstream.name}{'' if self.is_available else ', removed'}>"
        )
