"""
The steps for callers and their grants.

A grant has no name that a document could know: it is what it says, and two that say the same are the same. One that is
to be another is taken back, and a new one given.
"""

from __future__ import annotations

from contextlib import contextmanager
from ipaddress import ip_network
from typing import TYPE_CHECKING

from gateway.access.limits import Limits
from gateway.access.rules import reach
from gateway.administration import callers, grants
from gateway.administration.caller_limits import limit
from gateway.administration.declaration_changes import (
    add_caller,
    add_grant,
    change_caller,
    describe_caller,
    disable_caller,
    enable_caller,
    remove_caller,
    remove_grant,
)
from gateway.administration.declaration_faults import refuse_at
from gateway.administration.declaration_step import Left, compare
from gateway.administration.grant_rules import parse_rules
from gateway.errors import OperatorError
from gateway.registry.rows import CallerRow, GrantRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gateway.access.credential import Credential
    from gateway.administration.declaration import CallerPart, Declaration, GrantPart
    from gateway.administration.declaration_step import Draft, Present, Step
    from gateway.noojee.catalogue import Operation

__all__ = ["CallerPlanner"]


class CallerPlanner:
    """
    Finds the steps for a document's callers and grants.

    Args:
        credentials: As they will be, by name.
        prune: Whether what the document does not have is removed.
    """

    def __init__(
        self,
        declaration: Declaration,
        present: Present,
        draft: Draft,
        *,
        credentials: Mapping[str, Credential],
        number_country: str,
        prune: bool,
    ) -> None:
        self._declaration = declaration
        self._present = present
        self._draft = draft
        self._credentials = credentials
        self._country = number_country
        self._prune = prune

    def plan(self) -> None:
        """
        Put all steps into the draft.

        Raises:
            OperatorError: With the place in the document.
        """
        self._remove_surplus()
        for number, part in enumerate(self._declaration.callers):
            place = f"callers[{number}]"
            self._plan_caller(part)
            self._plan_grants(part, place)
            self._plan_change(part)
            if (row := self._present.callers.get(part.name)) is not None and not row.is_enabled and not part.disabled:
                # The last of all: whoever was shut out comes back to what the document says, and nothing more.
                self._widen(part.name, enable_caller(part.name))

    def _remove_surplus(self) -> None:
        declared = {part.name for part in self._declaration.callers}
        for name in self._present.callers:
            if name in declared:
                continue
            if not self._prune:
                self._draft.left.append(Left("caller", name))
                continue
            details = {"tokens": self._present.token_counts[name], "grants": len(self._present.grants[name])}
            self._narrow(name, remove_caller(name, details))

    def _plan_caller(self, part: CallerPart) -> None:
        wanted, row = _as_row(part), self._present.callers.get(part.name)
        if row is None:
            self._draft.first.append(add_caller(wanted))
            if part.disabled:
                self._draft.first.append(disable_caller(part.name))
            return
        if row.is_enabled and part.disabled:
            self._narrow(part.name, disable_caller(part.name))

    def _plan_change(self, part: CallerPart) -> None:
        """
        After the grants: with what the caller loses when it loses anything, else with what it gets.

        Other networks both take and give. Their place is after the grants that are taken back and before those that are
        given, so that no grant meets a network that it never was to be used from.
        """
        wanted, row = _as_row(part), self._present.callers.get(part.name)
        if row is not None and (details := compare(describe_caller(row), describe_caller(wanted))):
            step = change_caller(wanted, details)
            (self._widen if _allows_all_of(wanted, row) else self._narrow)(part.name, step)

    def _plan_grants(self, part: CallerPart, place: str) -> None:
        surplus = list(self._present.grants.get(part.name, ()))
        kept: list[GrantRow] = []
        wanted: list[tuple[str, GrantRow]] = []
        for number, grant in enumerate(part.grants):
            row = GrantRow(
                f"at {place}.grants[{number}]",
                part.name,
                grant.credential,
                tuple(dict.fromkeys(grant.operations)),
                tuple(grant.params.items()),
                grant.allow_unique_ids,
            )
            same = next((each for each in surplus if _identify(each) == _identify(row)), None)
            if same is None:
                wanted.append((f"{place}.grants[{number}]", row))
            else:
                surplus.remove(same)
                kept.append(same)
            self._check_name(grant, f"{place}.grants[{number}]")
        self._note_order(part.name, kept, place)
        staying = [*kept, *(() if self._prune else surplus)]
        self._take_back(part.name, surplus)
        for where, row in wanted:
            self._check(row, staying, where, has_surplus=bool(surplus) and not self._prune)
            staying.append(row)
            self._widen(part.name, add_grant(row))

    def _take_back(self, caller: str, surplus: Sequence[GrantRow]) -> None:
        for row in surplus:
            if not self._prune:
                self._draft.left.append(Left("grant", row.grant_id, caller))
                continue
            self._narrow(caller, remove_grant(row))

    def _check_name(self, grant: GrantPart, place: str) -> None:
        if grant.credential not in self._credentials:
            raise refuse_at(f"{place}.credential", f"There is no credential {grant.credential}. Add it to the document")

    def _check(self, row: GrantRow, staying: Sequence[GrantRow], place: str, *, has_surplus: bool) -> None:
        """
        Everything that `grant add` would refuse, before anything is changed.
        """
        operations, rules = row.operations, row.rules
        with _at(f"{place}.operations"):
            matched = grants.match_operations(operations)
        with _at(f"{place}.params"):
            parsed = parse_rules(rules, matched, self._country, allow_unique_ids=row.allow_unique_ids)
        covered: set[Operation] = {operation for operation in matched if reach(parsed, operation)}
        credential = self._credentials[row.credential_name]
        with _at(f"{place}.credential"):
            grants.check_credential(credential, covered)
        advice = " A grant that the document does not have is removed with --prune." if has_surplus else ""
        with _at(place, advice):
            grants.check_beside(credential, covered, staying, self._credentials)

    def _note_order(self, caller: str, kept: Sequence[GrantRow], place: str) -> None:
        """
        Of the grants that pass the oldest serves, and a grant does not grow older by being moved in a document.
        """
        ages = {row.grant_id: age for age, row in enumerate(self._present.grants.get(caller, ()))}
        ordered = sorted(kept, key=lambda row: ages[row.grant_id])
        if [row.credential_name for row in ordered] != [row.credential_name for row in kept]:
            self._draft.notes.append(
                f"{place}.grants: They stand in another order than they were given in, and the oldest that passes "
                "serves. To change that, take them out of the document, apply it with --prune, and put them back."
            )

    def _narrow(self, caller: str, step: Step) -> None:
        self._draft.narrowing.setdefault(caller, []).append(step)

    def _widen(self, caller: str, step: Step) -> None:
        self._draft.widening.setdefault(caller, []).append(step)


@contextmanager
def _at(place: str, advice: str = "") -> Iterator[None]:
    """
    Gives a verb's refusal its place in the document.
    """
    try:
        yield
    except OperatorError as error:
        raise refuse_at(place, f"{error.detail}{advice}", error.reason) from None


def _as_row(part: CallerPart) -> CallerRow:
    row = CallerRow(
        part.name, callers.parse_networks(part.networks), part.query_token_allowed, is_enabled=not part.disabled
    )
    return limit(row, part.limits.rate, _as_text(part.limits.burst), _as_text(part.limits.concurrency))


def _as_text(count: int | None) -> str | None:
    return str(count) if count is not None else None


def _identify(row: GrantRow) -> tuple[object, ...]:
    return row.credential_name, frozenset(row.operations), frozenset(row.rules), row.allow_unique_ids


def _allows_all_of(row: CallerRow, other: CallerRow) -> bool:
    """
    Whether a caller may do what another may, and perhaps more.
    """
    ours, theirs = (Limits.resolve(each.rate_per_second, each.burst, each.concurrency) for each in (row, other))
    return (
        _is_within(other.networks, row.networks)
        and row.query_token_allowed >= other.query_token_allowed
        and ours.rate_per_second >= theirs.rate_per_second
        and ours.burst >= theirs.burst
        and ours.concurrency >= theirs.concurrency
    )


def _is_within(inner: Sequence[str], outer: Sequence[str]) -> bool:
    if not outer:
        return True
    wide = [ip_network(text) for text in outer]
    # `inner` and `each` are of one version when they are compared.
    return bool(inner) and all(
        any(each.version == network.version and network.subnet_of(each) for each in wide)  # type: ignore[arg-type]
        for network in map(ip_network, inner)
    )
