"""
The verbs of `grant`: what a caller may do, and with which credential (law 6: what no grant covers is denied).

Refused at once is what could never serve or would be ambiguous at a call: a glob that matches nothing, a rule that no
operation knows or no value can pass, a user credential for system operations alone, a second upstream, and one
operation under two owners.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from gateway.access.credential import Kind
from gateway.access.rules import parse_rule, reach
from gateway.administration.credentials import get_credential
from gateway.administration.finding import get_caller
from gateway.administration.grant_rules import parse_rules
from gateway.administration.names import parse_grant_id
from gateway.audit.event import Tag
from gateway.errors import OperatorError, OperatorReason
from gateway.noojee.catalogue import Scope, create_uncatalogued, load_catalogue
from gateway.registry.rows import GrantRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.access.credential import Credential
    from gateway.administration.desk import Desk
    from gateway.noojee.catalogue import Operation
    from gateway.registry.transaction import Transaction

__all__ = ["add", "check_beside", "check_credential", "find_all", "match_operations", "remove", "render"]

_GLOBS_LIMIT = 64
_GLOB_LIMIT_CHARACTERS = 128
_SPEAKABLE = re.compile(r"[A-Za-z/*]+")
"""What may be repeated in an error. A key or a token that was pasted in place of a glob has digits (law 3)."""


def add(
    desk: Desk,
    caller: str,
    *,
    credential: str,
    operations: Sequence[str],
    rules: Sequence[tuple[str, str]] = (),
    allow_unique_ids: bool = False,
) -> dict[str, object]:
    """
    Let a caller use a credential for the operations that the globs cover, as far as the rules go.

    Args:
        operations: Globs on `Family/method`, or full paths of operations outside the catalogue.
        rules: (parameter or `extension`, rule), as the operator wrote them.
        allow_unique_ids: Whether a call may be named by its unique id under a rule on extensions.

    Raises:
        OperatorError: `not_found`, `invalid`, or what `Desk.changing` raises.
    """
    globs = tuple(dict.fromkeys(operations))
    matched = match_operations(globs)
    parsed = parse_rules(rules, matched, desk.number_country, allow_unique_ids=allow_unique_ids)
    covered = {operation for operation in matched if reach(parsed, operation)}
    with desk.changing() as change:
        with desk.reading() as registry:
            get_caller(registry, caller)
            used = get_credential(registry, credential)
            present = registry.find_grants(caller_name=caller)
            credentials = registry.find_credentials()
        check_credential(used, covered)
        check_beside(used, covered, present, credentials)
        grant = GrantRow(f"g{secrets.token_hex(6)}", caller, credential, globs, tuple(rules), allow_unique_ids)

        def write(registry: Transaction) -> None:
            registry.add_grant(
                grant.grant_id, caller, used.credential_id, globs, rules=grant.rules, allow_unique_ids=allow_unique_ids
            )

        change.carry_out(Tag.GRANT_ADDED, grant.grant_id, _describe(grant), write)
    return render(grant)


def remove(desk: Desk, grant_id: str) -> dict[str, object]:
    """
    Take a grant back.

    Raises:
        OperatorError: `not_found`, `invalid`, or what `Desk.changing` raises.
    """
    parse_grant_id(grant_id)
    with desk.changing() as change:
        with desk.reading() as registry:
            grant = registry.find_grant(grant_id)
        if grant is None:
            raise OperatorError(
                OperatorReason.NOT_FOUND,
                f"There is no grant {grant_id}. `noojee-gateway grant list CALLER` shows those there are.",
            )

        def write(registry: Transaction) -> None:
            registry.remove_grant(grant_id)
            registry.prune_removed_credentials()

        change.carry_out(Tag.GRANT_REMOVED, grant_id, _describe(grant), write)
    return render(grant)


def find_all(desk: Desk, caller: str) -> list[dict[str, object]]:
    """
    A caller's grants, the oldest first.

    Raises:
        OperatorError: `not_found`.
    """
    with desk.reading() as registry:
        get_caller(registry, caller)
        return [render(grant) for grant in registry.find_grants(caller_name=caller)]


def render(grant: GrantRow) -> dict[str, object]:
    """
    A grant as `--json` shows it.
    """
    return {
        "grant_id": grant.grant_id,
        "caller": grant.caller_name,
        "credential": grant.credential_name,
        "operations": list(grant.operations),
        "rules": [f"{parameter}={text}" for parameter, text in grant.rules],
        "allow_unique_ids": grant.allow_unique_ids,
    }


def _describe(grant: GrantRow) -> dict[str, object]:
    """
    A grant as its events tell of it; what it does not use is left out.
    """
    return {name: value for name, value in render(grant).items() if name != "grant_id" and value not in ([], False)}


def match_operations(globs: Sequence[str]) -> set[Operation]:
    """
    The operations under some globs, each of which must cover one.

    Raises:
        OperatorError: `invalid`.
    """
    if not 1 <= len(globs) <= _GLOBS_LIMIT:
        raise OperatorError(OperatorReason.INVALID, f"A grant has 1 to {_GLOBS_LIMIT} globs of operations.")
    covered: set[Operation] = set()
    for glob in globs:
        if len(glob) > _GLOB_LIMIT_CHARACTERS or not glob.isascii() or not glob.isprintable():
            raise OperatorError(
                OperatorReason.INVALID,
                f"A glob of operations is at most {_GLOB_LIMIT_CHARACTERS} printable ASCII characters.",
            )
        if glob.startswith("/"):
            covered.add(_create_uncatalogued(glob))
            continue
        matched = load_catalogue().match(glob)
        if not matched:
            raise OperatorError(
                OperatorReason.INVALID,
                f"{glob if _SPEAKABLE.fullmatch(glob) else 'A glob'} matches no operation. Globs are on Family/method "
                "and case-exact; `noojee-gateway operations` lists them.",
            )
        covered.update(matched)
    return covered


def _create_uncatalogued(path: str) -> Operation:
    try:
        return create_uncatalogued(path)
    except ValueError as error:
        raise OperatorError(OperatorReason.INVALID, str(error)) from error


def check_credential(credential: Credential, covered: set[Operation]) -> None:
    """
    Refuse a credential that could never serve these operations.

    Raises:
        OperatorError: `not_found`, `invalid`.
    """
    name = credential.name
    if not credential.is_available:
        raise OperatorError(
            OperatorReason.NOT_FOUND,
            f"The credential {name} was removed and has no key. Add it again with `noojee-gateway credential add "
            f"{name}`, or name another.",
        )
    if credential.kind is Kind.USER and all(operation.scope is Scope.SYSTEM for operation in covered):
        raise OperatorError(
            OperatorReason.INVALID,
            f"{name} is a user credential, which reaches campaign operations only, and these are all system "
            "operations. Name a global credential.",
        )


def check_beside(
    credential: Credential,
    covered: set[Operation],
    present: Sequence[GrantRow],
    credentials: Mapping[str, Credential],
) -> None:
    """
    Refuse what does not go together with the caller's other grants.

    Args:
        credential: Of the grant that is to be added.
        covered: The operations that it would cover.
        present: The others.
        credentials: All that are named by these, by name.

    Raises:
        OperatorError: `invalid`.
    """
    for grant in present:
        other = credentials[grant.credential_name]
        if other.upstream.name != credential.upstream.name:
            raise OperatorError(
                OperatorReason.INVALID,
                f"{grant.caller_name} has a grant on the upstream {other.upstream.name}, and a caller reaches one "
                "upstream alone. Use a caller of its own for the other.",
            )
        if credential.kind is Kind.USER and other.kind is Kind.USER and credential.owner != other.owner:
            shared = sorted(operation.name for operation in covered & _match_present(grant))
            if shared:
                raise OperatorError(
                    OperatorReason.INVALID,
                    f"{grant.caller_name} has the grant {grant.grant_id} for another owner, {other.owner}, on the same "
                    f"operation {shared[0]}: a call could not tell for whom it acts. Use a caller for each owner.",
                )


def _match_present(grant: GrantRow) -> set[Operation]:
    # Not `match_operations`: a glob of an older release's catalogue may match nothing any more, and is then no reason
    # to refuse.
    matched = (operation for glob in grant.operations for operation in load_catalogue().match(glob))
    rules = [parse_rule(name, text) for name, text in grant.rules]
    return {operation for operation in matched if reach(rules, operation)}
