"""
A grant: a credential, the operations it covers, and the rules on their parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.access.rules import reach
from gateway.noojee.catalogue import glob_matches

if TYPE_CHECKING:
    from gateway.access.credential import Credential
    from gateway.access.rules import Rule
    from gateway.noojee.catalogue import Operation

__all__ = ["Grant"]


@dataclass(frozen=True, slots=True)
class Grant:
    """
    What a caller may do.

    Attributes:
        operations: Globs on `Family/method` and full paths, in the order the operator gave them.
        rules: On its operations' parameters; none for every value.
        allow_unique_ids: Whether a call may be named by its unique id under a rule on extensions.
    """

    grant_id: str
    credential: Credential
    operations: tuple[str, ...]
    rules: tuple[Rule, ...] = ()
    allow_unique_ids: bool = False

    def covers(self, operation: Operation) -> bool:
        """
        Whether it names the operation, and its rules, where it has any, bind there.

        What is not served is covered by none. A full path covers what stands at exactly that path, so that a grant of
        one outlives the release whose catalogue learns of it; a glob never covers what the catalogue does not know.
        """
        if not operation.is_served or not reach(self.rules, operation):
            return False
        if operation.path.decode("ascii") in self.operations:
            return True
        return operation.is_in_catalogue and any(glob_matches(glob, operation.name) for glob in self.operations)
