"""
Which rules a grant may have: refused at once is a rule that could never bind, never pass, or pass more than was meant.

How a rule is written and what it allows is told by `gateway.access`; here it is held against the grant's operations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.access.rules import EXTENSION, EXTENSION_PARAMETERS, UNIQUE_ID, names_of, parse_rule
from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.access.rules import Rule
    from gateway.noojee.catalogue import Operation

__all__ = ["parse_rules"]

_RULES_LIMIT = 16
_RULES_LIMIT_BYTES = 2048
"""All rules of a grant together: with its globs they stand in its event, and a record is one line of at most 16 KiB."""


def parse_rules(
    rules: Sequence[tuple[str, str]], matched: set[Operation], country: str, *, allow_unique_ids: bool
) -> tuple[Rule, ...]:
    """
    The rules, each of which must bind on one of the operations.

    Args:
        rules: (parameter or `extension`, rule), as the operator wrote them.
        matched: All that the grant names.
        country: The calling code by which telephone numbers are compared now.

    Raises:
        OperatorError: `invalid`.
    """
    if len(rules) > _RULES_LIMIT or sum(map(_measure, rules)) > _RULES_LIMIT_BYTES:
        raise OperatorError(
            OperatorReason.INVALID,
            f"A grant has at most {_RULES_LIMIT} rules of {_RULES_LIMIT_BYTES} bytes together. Write ranges or "
            "prefixes, or add a second grant.",
        )
    try:
        return _check_rules(rules, matched, country, allow_unique_ids=allow_unique_ids)
    except ValueError as error:
        raise OperatorError(OperatorReason.INVALID, str(error)) from error


def _measure(rule: tuple[str, str]) -> int:
    return len("=".join(rule).encode(errors="surrogateescape"))


def _check_rules(
    rules: Sequence[tuple[str, str]], matched: set[Operation], country: str, *, allow_unique_ids: bool
) -> tuple[Rule, ...]:
    parsed: dict[str, Rule] = {}
    for name, text in rules:
        if name in EXTENSION_PARAMETERS:
            raise ValueError(f"Write --param extension=RULE: it holds for {name}, under whichever name a call has it.")
        if name in parsed:
            raise ValueError(f"There are two rules on {name}. Write one, with a comma between what is allowed.")
        if not any(names_of(name) & operation.parameters for operation in matched):
            said = name if name.isascii() and name.isalpha() else "of that name"
            raise ValueError(
                f"No operation of this grant has a parameter {said}. `noojee-gateway operations --json` lists those "
                "of each operation; what stands in a JSON body cannot be ruled."
            )
        rule = parse_rule(name, text)
        if lost := rule.find_lost_items(country):
            raise ValueError(
                f"In the rule on {name}, {lost[0]}* would cover numbers abroad too, because a leading +{country} is "
                "compared as 0. Write the area codes, as in 02*,03*,04*."
            )
        parsed[name] = rule
    if rules and (paths := sorted(operation.name for operation in matched if not operation.is_in_catalogue)):
        raise ValueError(
            f"No rule can bind on {paths[0]}, whose parameters nobody documented. Add a grant of its own for it."
        )
    if EXTENSION in parsed and UNIQUE_ID in parsed and not allow_unique_ids:
        raise ValueError("A rule on extension refuses every uniqueId. Say --allow-unique-ids, or leave its rule out.")
    return tuple(parsed.values())
