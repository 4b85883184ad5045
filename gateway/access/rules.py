"""
Rules on parameters: what a grant lets a caller say under a name (contract section 3).

Pure, and on decoded values alone: those that `gateway.noojee.parameters` read from the very bytes that go up (law 9).
A rule lists what is allowed, everything else is refused (law 6): a value that Noojee might read in another way than the
rule does, such as `SIP/410&SIP/411` or `0412345678;ext=0900`, fits no form and is therefore never compared at all.

A rule stays as its operator wrote it. Telephone numbers, the rule's and the call's, pass the same function at the same
moment, so that changing the country cannot make them differ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.access.rule_text import EXTENSION, Prefix, parse_items
from gateway.noojee.catalogue import PHONE_PARAMETERS
from gateway.noojee.numbers import canonical_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.access.rule_text import Item
    from gateway.noojee.catalogue import Operation
    from gateway.noojee.parameters import Parameter

__all__ = [
    "EXTENSION",
    "EXTENSION_PARAMETERS",
    "LIST_LIMIT",
    "UNIQUE_ID",
    "Refusal",
    "Rule",
    "find_refusal",
    "names_of",
    "parse_rule",
    "reach",
]

EXTENSION_PARAMETERS = frozenset({"exten", "extenOrUniqueId"})

LIST_LIMIT = 4096
"""Items of a list of extensions. A form of 1 MiB could hold half a million, and comparing them all the event loop."""

UNIQUE_ID = "uniqueId"

_REFUSED_BESIDE_EXTENSION = ("agentLoginName", "callerId")
"""What could act for, or pose as, an extension that the rule does not allow."""

_EXTENSION_VALUE = re.compile(r"(?:(?:SIP|PJSIP)/)?([0-9]{1,10})", re.ASCII)
_UNIQUE_ID_VALUE = re.compile(r"[0-9]+\.[0-9]+", re.ASCII)
_PHONE_VALUE = re.compile(r"[+ ]?[0-9]{3,16}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rule:
    """
    What may be said under a name.

    Attributes:
        parameter: A parameter's own name, or `extension`.
        text: The rule as the operator wrote it.
        items: What `text` lists; a value must be allowed by one of them.
    """

    parameter: str
    text: str
    items: tuple[Item, ...]

    @property
    def names(self) -> frozenset[str]:
        """
        The parameters that it applies to.
        """
        return names_of(self.parameter)

    def __str__(self) -> str:
        return f"{self.parameter}={self.text}"

    def find_lost_items(self, country: str) -> list[str]:
        """
        The prefixes of telephone numbers that allow nothing, because they end before or with the country code.
        """
        if self.parameter not in PHONE_PARAMETERS:
            return []
        return [item.text for item in self.items if isinstance(item, Prefix) and item.canonical(country) is None]

    def find_fault(self, name: str, value: str, country: str, *, allow_unique_ids: bool) -> str | None:
        """
        Why a value is refused, a sentence without the value; None when it is allowed.
        """
        if self.parameter == EXTENSION:
            return self._find_extension_fault(name, value, allow_unique_ids=allow_unique_ids)
        items: Iterable[Item | None] = self.items
        if self.parameter in PHONE_PARAMETERS:
            if not _PHONE_VALUE.fullmatch(value):
                return f"{name} must be one telephone number of 3 to 16 digits, with a + before it or not."
            value = canonical_number(value, country)
            items = (item.canonical(country) for item in self.items)
        if any(item is not None and item.allows(value) for item in items):
            return None
        return f"This value of {name} is not granted."

    def _find_extension_fault(self, name: str, value: str, *, allow_unique_ids: bool) -> str | None:
        if value.count(",") >= LIST_LIMIT:
            return f"{name} may list at most {LIST_LIMIT} extensions."
        for each in dict.fromkeys(value.split(",")):
            if _UNIQUE_ID_VALUE.fullmatch(each):
                if not allow_unique_ids:
                    return f"{name} must name an extension: a call's unique id is not granted in its place."
                continue
            extension = _EXTENSION_VALUE.fullmatch(each)
            if extension is None:
                return f"{name} must be an extension of 1 to 10 digits, SIP/ or PJSIP/ before it or not, or a list."
            if not any(item.allows(extension[1]) for item in self.items):
                return f"This value of {name} is not granted."
        return None


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    Why a call's parameters are not granted.

    Attributes:
        rule: The rule that refused, as the operator wrote it.
        sentence: What is wrong; never holds what the caller sent.
    """

    rule: str
    sentence: str


def names_of(parameter: str) -> frozenset[str]:
    """
    The parameters that a rule on this name applies to.
    """
    return EXTENSION_PARAMETERS if parameter == EXTENSION else frozenset({parameter})


def parse_rule(parameter: str, text: str) -> Rule:
    """
    A rule from what stands on either side of `NAME=RULE`.

    Raises:
        ValueError: With a sentence that says how to write it.
    """
    return Rule(parameter, text, parse_items(parameter, text))


def reach(rules: Sequence[Rule], operation: Operation) -> bool:
    """
    Whether a grant with these rules covers the operation: it has none, or one of them binds there.
    """
    return not rules or any(rule.names & operation.parameters for rule in rules)


def find_refusal(
    rules: Sequence[Rule],
    operation: Operation,
    parameters: Sequence[Parameter],
    country: str,
    *,
    allow_unique_ids: bool,
) -> Refusal | None:
    """
    Why a grant's rules refuse a call's parameters; None when they pass.

    Args:
        rules: All of the grant.
        operation: One that the rules reach.
        parameters: All that go up, query and form together.
        country: The calling code by which telephone numbers are compared.
        allow_unique_ids: Whether a call may be named by its unique id under a rule on extensions.
    """
    binding = [(rule, name) for rule in rules for name in sorted(rule.names & operation.parameters)]
    for rule, name in binding:
        values = [parameter.value for parameter in parameters if parameter.name == name]
        if not values:
            return Refusal(str(rule), f"{name} must be sent.")
        for value in values:
            fault = rule.find_fault(name, value, country, allow_unique_ids=allow_unique_ids)
            if fault is not None:
                return Refusal(str(rule), fault)
    ruled = {name for _, name in binding}
    for parameter in parameters:
        if rules and parameter.name not in operation.parameters:
            sentence = f"{operation.name} is granted with its documented parameters alone, and another was sent."
            return Refusal(str(binding[0][0] if binding else rules[0]), sentence)
        for rule in rules:
            if rule.parameter != EXTENSION:
                continue
            fault = _find_fault_beside(parameter, ruled, allow_unique_ids=allow_unique_ids)
            if fault is not None:
                return Refusal(str(rule), fault)
    return None


def _find_fault_beside(parameter: Parameter, ruled: set[str], *, allow_unique_ids: bool) -> str | None:
    """
    What a rule on extensions refuses under other names.
    """
    name = parameter.name
    if name == UNIQUE_ID:
        if not allow_unique_ids:
            return f"{name} is not granted: a call's unique id could name any extension."
        if not _UNIQUE_ID_VALUE.fullmatch(parameter.value):
            return f"{name} must be a call's unique id, digits.digits."
    if name in _REFUSED_BESIDE_EXTENSION and name not in ruled:
        return f"{name} is not granted: it would act for somebody else than the extension."
    return None
