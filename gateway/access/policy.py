"""
The decision: pure, explainable, and the same code for a call and for `explain` (laws 4, 6, 9).

Two steps, because the body is read between them (contract section 4): `resolve` names the grants that may serve, from
the caller and the operation alone; `decide` chooses among them by the parameters that go up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.access.credential import Kind
from gateway.access.rules import find_refusal
from gateway.errors import Reason
from gateway.noojee.catalogue import Scope, create_uncatalogued

if TYPE_CHECKING:
    from gateway.access.caller import Caller
    from gateway.access.grant import Grant
    from gateway.noojee.catalogue import Catalogue, Operation
    from gateway.noojee.parameters import Parameter

__all__ = ["Decision", "decide", "name_operation", "resolve"]


@dataclass(frozen=True, slots=True)
class Decision:
    """
    Allow or deny, and why.

    Attributes:
        reason: Why it is denied; None when it is allowed.
        grants: After `resolve`, the grants of the fixed kind that cover the operation, the oldest first.
        grant: The grant that serves, or that a denial is about.
        rule: The rule that refused, as the operator wrote it.
        detail: With a rule: what is wrong, a sentence that never holds what the caller sent.
    """

    reason: Reason | None
    grants: tuple[Grant, ...] = ()
    grant: Grant | None = None
    rule: str | None = None
    detail: str | None = None

    @property
    def allowed(self) -> bool:
        """
        Whether the call may be made.
        """
        return self.reason is None


def name_operation(catalogue: Catalogue, caller: Caller, path: bytes) -> Operation | None:
    """
    The operation at exactly these bytes: the catalogue's, or one that a grant of this very caller names by its path.

    What is granted to others alone does not exist: nobody learns from an answer what they may do.
    """
    known = catalogue.find_by_path(path)
    if known is not None or not path.startswith(b"/"):
        return known
    for grant in caller.grants:
        for text in grant.operations:
            if text.startswith("/") and text.encode("ascii") == path:
                return create_uncatalogued(text)
    return None


def resolve(caller: Caller, operation: Operation) -> Decision:
    """
    Fix the kind of key: the least powerful for which the caller has a grant that covers the operation.

    Nothing else of the call has a say in it. A user credential never serves a system operation, whatever its globs say.

    Returns:
        A denial, or an allowance whose `grants` are those of that kind, the oldest first.
    """
    if not operation.is_served:
        return Decision(Reason.OPERATION_NOT_SERVED)
    covering = [grant for grant in caller.grants if grant.covers(operation)]
    if not covering:
        return Decision(Reason.OPERATION_NOT_GRANTED)
    able = [grant for grant in covering if _reaches(grant.credential.kind, operation.scope)]
    if not able:
        return Decision(Reason.OPERATION_NEEDS_GLOBAL_CREDENTIAL, grant=covering[0])
    kind = min((grant.credential.kind for grant in able), key=lambda kind: kind.power)
    return Decision(None, grants=tuple(grant for grant in able if grant.credential.kind is kind))


def decide(
    resolved: Decision, operation: Operation, parameters: tuple[Parameter, ...], number_country: str
) -> Decision:
    """
    Choose the oldest of the resolved grants whose rules pass; if none does, the reason is that of the first.

    No more powerful kind is ever tried (law 4).

    Args:
        resolved: An allowance from `resolve`.
        operation: What is called.
        parameters: All that go up, query and form together.
        number_country: The calling code by which telephone numbers are compared.
    """
    first_denial: Decision | None = None
    for grant in resolved.grants:
        denial = _find_denial(grant, operation, parameters, number_country)
        if denial is None:
            return Decision(None, grants=resolved.grants, grant=grant)
        first_denial = first_denial or denial
    return first_denial or Decision(Reason.OPERATION_NOT_GRANTED)


def _reaches(kind: Kind, scope: Scope) -> bool:
    """
    Law 6: a user credential reaches campaign operations only.
    """
    return kind is Kind.GLOBAL or scope is Scope.CAMPAIGN


def _find_denial(
    grant: Grant, operation: Operation, parameters: tuple[Parameter, ...], number_country: str
) -> Decision | None:
    """
    Why this grant does not serve the call, None when it does.
    """
    refusal = find_refusal(grant.rules, operation, parameters, number_country, allow_unique_ids=grant.allow_unique_ids)
    if refusal is not None:
        return Decision(Reason.PARAMETER_NOT_GRANTED, grant=grant, rule=refusal.rule, detail=refusal.sentence)
    if not grant.credential.is_available:
        return Decision(Reason.CREDENTIAL_UNAVAILABLE, grant=grant)
    return None
