"""
What a plan is made of: steps, each one change by a verb's own function, and their order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from gateway.access.credential import Credential
    from gateway.access.upstream import Upstream
    from gateway.administration.desk import Desk
    from gateway.registry.rows import CallerRow, GrantRow
    from gateway.secret import Secret

__all__ = ["Action", "Draft", "Left", "Plan", "Present", "Step", "compare"]


class Action(StrEnum):
    """
    What a step does.
    """

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Step:
    """
    One change.

    Attributes:
        what: `upstream`, `credential`, `caller` or `grant`.
        name: Its name; a grant's id, empty for one that is to be added.
        details: Plain JSON, no secret. Of a change: member -> [before, after].
        make: Makes it; the keys are by credential's name.
        caller: Of a grant.
    """

    action: Action
    what: str
    name: str
    details: Mapping[str, object]
    make: Callable[[Desk, Mapping[str, Secret]], object] = field(repr=False, compare=False)
    caller: str | None = None

    def render(self) -> dict[str, object]:
        """
        As `--json` shows it.
        """
        shown = {"action": self.action.value, "what": self.what, "name": self.name or None, "caller": self.caller}
        return {**{name: value for name, value in shown.items() if value is not None}, "details": dict(self.details)}


@dataclass(frozen=True, slots=True)
class Left:
    """
    What the registry has and the document has not, and what stays because nothing is removed unasked.
    """

    what: str
    name: str
    caller: str | None = None

    def render(self) -> dict[str, object]:
        """
        As `--json` shows it.
        """
        return {"what": self.what, "name": self.name, **({"caller": self.caller} if self.caller else {})}


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What makes the registry what a document says.

    Attributes:
        steps: In the order in which they are made.
        notes: What the operator should know; whole sentences.
        keys: By credential's name, from files, those that steps need; and passwords of proxies.
        keys_to_enter: The names of those that must be entered, in the document's order.
    """

    steps: Sequence[Step]
    left: Sequence[Left]
    notes: Sequence[str]
    keys: Mapping[str, Secret]
    keys_to_enter: Sequence[str]

    def render(self) -> dict[str, object]:
        """
        As `--json` shows it.
        """
        return {
            "changes": [step.render() for step in self.steps],
            "left": [each.render() for each in self.left],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Present:
    """
    The registry as it is, without tokens.

    Attributes:
        fingerprints: By credential's name.
        grants: By caller's name, the oldest first.
        token_counts: By caller's name, of those that the document does not have.
    """

    upstreams: Mapping[str, Upstream]
    credentials: Mapping[str, Credential]
    fingerprints: Mapping[str, bytes | None]
    callers: Mapping[str, CallerRow]
    grants: Mapping[str, Sequence[GrantRow]]
    token_counts: Mapping[str, int]

    @classmethod
    def read(cls, desk: Desk, declared: Collection[str]) -> Present:
        """
        One consistent view.

        Args:
            declared: Names of callers whose tokens are of no interest.

        Raises:
            OperatorError: `registry_unavailable`.
        """
        with desk.reading() as registry:
            credentials = registry.find_credentials()
            callers = {row.name: row for row in registry.find_callers()}
            grants: dict[str, list[GrantRow]] = {name: [] for name in callers}
            for grant in registry.find_grants():
                grants[grant.caller_name].append(grant)
            counts = {name: len(registry.find_tokens(caller_name=name)) for name in callers if name not in declared}
            return cls(
                upstreams=registry.find_upstreams(),
                credentials=credentials,
                fingerprints={name: registry.find_fingerprint(name) for name in credentials},
                callers=callers,
                grants=grants,
                token_counts=counts,
            )


class Draft:
    """
    Steps as they are found, and the order that they get.

    A caller never has more, at any step, than it had before the first or has after the last; and a crash leaves what
    another `apply` goes on from. So what takes away comes before what gives, and where calls go is changed in between.
    """

    def __init__(self) -> None:
        self.first: list[Step] = []
        """What is new and nobody can use yet."""
        self.narrowing: dict[str, list[Step]] = {}
        """By caller's name: what takes away."""
        self.grounds: list[Step] = []
        """Upstreams and credentials that callers may be using."""
        self.widening: dict[str, list[Step]] = {}
        """By caller's name: what gives."""
        self.left: list[Left] = []
        self.notes: list[str] = []

    def arrange(self) -> list[Step]:
        """
        All steps in their order.
        """
        names = list(dict.fromkeys([*self.narrowing, *self.widening]))
        narrowing = [self.narrowing.get(name, []) for name in names]
        widening = [self.widening.get(name, []) for name in names]
        if self.grounds:
            pieces: Iterable[list[Step]] = [*narrowing, self.grounds, *widening]
        else:
            # One caller after the other: each is without a grant that is being replaced for as short as can be.
            pieces = [piece for pair in zip(narrowing, widening, strict=True) for piece in pair]
        return [*self.first, *(step for piece in pieces for step in piece)]


def compare(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, object]:
    """
    Member -> [before, after], for those that differ.
    """
    return {name: [before[name], after[name]] for name in after if before[name] != after[name]}
