"""
`explain`: what would be decided for a call, by the code that decides calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from gateway.access.policy import Decision, decide, resolve
from gateway.errors import CallerError, Reason
from gateway.noojee.parameters import parse_parameters, strip_credentials

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.access.caller import Caller
    from gateway.noojee.catalogue import Catalogue, Operation

__all__ = ["Explanation", "explain", "find_operation"]


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


def find_operation(catalogue: Catalogue, text: str) -> Operation | None:
    """
    An operation by `Family/method` or by its path.
    """
    if text.startswith("/"):
        return catalogue.find_by_path(text.encode(errors="surrogateescape"))
    return catalogue.find_by_name(text)


def explain(
    caller: Caller | None, catalogue: Catalogue, operation_text: str, parameters: Sequence[tuple[str, str]]
) -> Explanation:
    """
    Decide as a call of this caller with these parameters would be decided, from a network and with a token that pass.

    Args:
        caller: None for a disabled one, whose tokens are as good as none.
        parameters: Decoded (name, value) pairs; they are encoded as a query and read by the call's own reader.
    """
    operation = find_operation(catalogue, operation_text)
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
    return Explanation(decide(resolved, operation, read), operation)
