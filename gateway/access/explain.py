"""
`explain`: what would be decided for a call, by the code that decides calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from gateway.access.policy import Decision, decide, name_operation, resolve
from gateway.errors import CallerError, Reason
from gateway.noojee.parameters import parse_parameters, strip_credentials

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.access.caller import Caller
    from gateway.noojee.catalogue import Catalogue, Operation

__all__ = ["Explanation", "explain", "find_operation", "find_operations", "survey"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    A decision with the operation it is about; `operation` is None where there is no such operation.
    """

    decision: Decision
    operation: Operation | None

    def as_json(self, policy_version: int) -> dict[str, object]:
        """
        The value that `explain --json` prints (contract section 3).
        """
        grant = self.decision.grant
        return {
            "decision": "allow" if self.decision.allowed else "deny",
            "reason": self.decision.reason.code if self.decision.reason else None,
            "operation": self.operation.name if self.operation else None,
            "credential": grant.credential.name if grant else None,
            "grant_id": grant.grant_id if grant else None,
            "rule": self.decision.rule,
            "policy_version": policy_version,
        }


def find_operation(catalogue: Catalogue, caller: Caller | None, text: str) -> Operation | None:
    """
    An operation by `Family/method` or by its path, which may be one that is granted to the caller alone.
    """
    if not text.startswith("/"):
        return catalogue.find_by_name(text)
    path = text.encode(errors="surrogateescape")
    return catalogue.find_by_path(path) if caller is None else name_operation(catalogue, caller, path)


def find_operations(catalogue: Catalogue, caller: Caller | None) -> tuple[Operation, ...]:
    """
    The catalogue's operations, and after them those outside it that the caller's grants name by path.
    """
    grants = caller.grants if caller is not None else ()
    paths = dict.fromkeys(text for grant in grants for text in grant.operations if text.startswith("/"))
    named = [find_operation(catalogue, caller, path) for path in paths]
    return (*catalogue.operations, *(each for each in named if each is not None and not each.is_in_catalogue))


def survey(caller: Caller | None, operation: Operation) -> Decision:
    """
    What is decided of a call whose parameters pass the rules of the grant that serves.
    """
    if caller is None:
        return Decision(Reason.TOKEN_INVALID)
    resolved = resolve(caller, operation)
    if not resolved.allowed:
        return resolved
    able = [grant for grant in resolved.grants if grant.credential.is_available]
    if not able:
        return Decision(Reason.CREDENTIAL_UNAVAILABLE, grant=resolved.grants[0])
    return Decision(None, grants=resolved.grants, grant=able[0])


def explain(
    caller: Caller | None,
    catalogue: Catalogue,
    operation_text: str,
    parameters: Sequence[tuple[str, str]],
    number_country: str,
) -> Explanation:
    """
    Decide as a call of this caller with these parameters would be decided, from a network and with a token that pass.

    Args:
        caller: None for a disabled one, whose tokens are as good as none.
        parameters: Decoded (name, value) pairs; they are encoded as a query and read by the call's own reader.
        number_country: The calling code by which telephone numbers are compared.
    """
    operation = find_operation(catalogue, caller, operation_text)
    if caller is None:  # told before the path is looked at (contract section 4)
        return Explanation(Decision(Reason.TOKEN_INVALID), operation)
    if operation is None:
        return Explanation(Decision(Reason.OPERATION_UNKNOWN), None)
    resolved = resolve(caller, operation)
    if not resolved.allowed:
        return Explanation(resolved, operation)
    try:
        # Bytes of the command line that are no UTF-8 arrive as surrogates; they are refused as in a call.
        query = strip_credentials(urlencode(parameters, errors="surrogateescape").encode("ascii"))
        read = parse_parameters(operation, query, b"")
    except CallerError as error:
        return Explanation(Decision(error.reason), operation)
    return Explanation(decide(resolved, operation, read, number_country), operation)
