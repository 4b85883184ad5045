"""
From a document to the registry: plan first, then make it so, one recorded change a step.

A crash, or a refusal in the middle, leaves what the steps before it made; the same document again goes on from there.
What is planned twice is nothing, and nothing is put on record for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.administration.declaration_callers import CallerPlanner
from gateway.administration.declaration_faults import refuse_at
from gateway.administration.declaration_keys import check_password
from gateway.administration.declaration_step import Draft, Plan, Present
from gateway.administration.declaration_upstreams import CredentialPlanner
from gateway.administration.names import check_key
from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.administration.declaration import Declaration
    from gateway.administration.desk import Desk
    from gateway.secret import Secret

__all__ = ["carry_out", "make_plan"]


def make_plan(desk: Desk, declaration: Declaration, *, folder: Path, prune: bool) -> Plan:
    """
    What is to be done so that the registry is what the document says.

    Args:
        folder: The document's: relative paths in it are seen from there.
        prune: Whether what the registry has and the document has not is removed; otherwise it is told and stays.

    Raises:
        OperatorError: With the place in the document: everything that a step would be refused for.
    """
    present = Present.read(desk, {part.name for part in declaration.callers})
    draft = Draft()
    credentials = CredentialPlanner(desk, declaration, present, draft, folder=folder, prune=prune)
    credentials.plan()
    callers = CallerPlanner(
        declaration,
        present,
        draft,
        credentials=credentials.credentials,
        number_country=desk.number_country,
        prune=prune,
    )
    callers.plan()
    return Plan(draft.arrange(), draft.left, draft.notes, credentials.keys, credentials.keys_to_enter)


def carry_out(
    desk: Desk, plan: Plan, declaration: Declaration, keys: Mapping[str, Secret], *, folder: Path, prune: bool
) -> None:
    """
    Make a plan's steps, with no other verb in between.

    Args:
        plan: As it was shown.
        keys: Those of `plan.keys_to_enter`, by their names.

    Raises:
        OperatorError: `in_use` when another verb has changed what was planned for: nothing was done. Else what a step
            was refused for; the sentence says how many were made before it.
    """
    if not plan.steps:
        return
    for name, key in keys.items():
        _check_entered(name, key)
    with desk.holding():
        again = make_plan(desk, declaration, folder=folder, prune=prune)
        if again.render() != plan.render():
            raise OperatorError(
                OperatorReason.IN_USE,
                "The registry was changed by another command after the plan was made. Nothing was done; repeat the "
                "command to see the new plan.",
            )
        for made, step in enumerate(again.steps):
            try:
                step.make(desk, {**again.keys, **keys})
            except OperatorError as error:
                raise OperatorError(
                    error.reason,
                    f"{error.detail} That was step {made + 1} of {len(again.steps)}; those before it are made. The "
                    "same command again goes on from here.",
                ) from error


def _check_entered(name: str, key: Secret) -> None:
    """
    Refuse now what a step in the middle would refuse.
    """
    if " " in name:
        check_password(key, name)
        return
    try:
        check_key(key)
    except OperatorError as error:
        raise refuse_at(name, error.detail) from None
