"""
A grant: a credential, the operations it covers, and the rules on their parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.noojee.catalogue import glob_matches

if TYPE_CHECKING:
    from gateway.access.credential import Credential
    from gateway.noojee.catalogue import Operation

__all__ = ["Grant"]


@dataclass(frozen=True, slots=True)
class Grant:
    """
    What a caller may do.

    Attributes:
        operations: Globs on `Family/method`, in the order the operator gave them.
    """

    grant_id: str
    credential: Credential
    operations: tuple[str, ...]

    def covers(self, operation: Operation) -> bool:
        """
        Whether one of the globs names the operation. What is not served is covered by none.
        """
        return operation.is_served and any(glob_matches(glob, operation.name) for glob in self.operations)
