"""
The verbs of `credential`: Noojee's keys, sealed as soon as they were read, and never shown again.

A removed credential that grants still name stays, without a key, under the state `removed`: its name must not go to
another key behind the grants' back. Adding it again with the same upstream, kind and owner gives it a key again, and
with it the grants their effect; when the last such grant is gone, so is the credential.

Rotating is no revoking: calls and polls that were decided with the old key go on with it to their end, so that none
fails. Whoever must end them removes the credential and adds it again.
"""

from __future__ import annotations

import dataclasses
import secrets
from typing import TYPE_CHECKING

from gateway.access.credential import Credential, Kind
from gateway.administration.names import check_key, parse_name, parse_owner
from gateway.administration.upstreams import get_upstream
from gateway.audit.event import Tag
from gateway.custody import seal_key
from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from gateway.administration.desk import Desk
    from gateway.registry.reading import Reading
    from gateway.registry.transaction import Transaction
    from gateway.secret import Secret

__all__ = ["add", "find_all", "get_credential", "remove", "rotate"]


def add(desk: Desk, name: str, *, upstream: str, kind: str, owner: str | None, key: Secret) -> dict[str, object]:
    """
    Add a credential, or give a removed one a key again.

    The same key may stand under several names: that is how a credential gets a new name without a gap.

    Args:
        owner: The Noojee user's login; for kind `user`, and only for it.

    Raises:
        OperatorError: `invalid`, `not_found` (the upstream), `exists`, or what `Desk.changing` raises.
    """
    parse_name(name, "credential")
    check_key(key)
    parsed_kind, parsed_owner = _parse_kind_and_owner(kind, owner)
    with desk.changing() as change:
        with desk.reading() as registry:
            present = registry.find_credential(name)
            credential = Credential(
                credential_id=present.credential_id if present is not None else f"c{secrets.token_hex(8)}",
                name=name,
                upstream=get_upstream(registry, upstream),
                kind=parsed_kind,
                owner=parsed_owner,
                sealed=None,
            )
        if present is not None:
            _check_revival(present, credential)
        sealed = seal_key(desk.ring, key, credential)
        fingerprint = desk.audit_key.fingerprint(key.reveal())

        def write(registry: Transaction) -> None:
            if present is not None:
                registry.set_key(credential.credential_id, sealed, fingerprint)
            else:
                registry.add_credential(dataclasses.replace(credential, sealed=sealed), fingerprint)

        details = {
            "upstream": upstream,
            "kind": parsed_kind.value,
            "owner": parsed_owner,
            "revived": present is not None,
        }
        change.carry_out(Tag.CREDENTIAL_ADDED, name, details, write)
    return _render(dataclasses.replace(credential, sealed=sealed))


def rotate(desk: Desk, name: str, *, key: Secret) -> dict[str, object]:
    """
    Put a new key in the place of a credential's; every call decided after this returns goes up with it.

    With the key that it holds already nothing is changed, and the workers are waited for again: whoever was told that
    one did not acknowledge repeats the command.

    Returns:
        The credential, and under `rotated` whether the key was another.

    Raises:
        OperatorError: `not_found`, also for a removed credential: to give access back is `add`'s, which asks again
            whose key it is. `invalid`, or what `Desk.changing` raises.
    """
    check_key(key)
    with desk.changing(awaits_workers=True) as change:
        with desk.reading() as registry:
            credential = get_credential(registry, name)
            is_held = registry.find_fingerprint(name) == desk.audit_key.fingerprint(key.reveal())
        if not credential.is_available:
            raise OperatorError(
                OperatorReason.NOT_FOUND,
                f"The credential {name} was removed and holds no key. Give it one again with `noojee-gateway "
                f"credential add {name}`, with upstream, kind and owner as they were; its grants then serve again.",
            )
        if not is_held:
            sealed = seal_key(desk.ring, key, credential)
            fingerprint = desk.audit_key.fingerprint(key.reveal())
            details = {"upstream": credential.upstream.name, "kind": credential.kind.value, "owner": credential.owner}
            change.carry_out(
                Tag.CREDENTIAL_ROTATED,
                name,
                details,
                lambda registry: registry.set_key(credential.credential_id, sealed, fingerprint),
            )
    return {**_render(credential), "rotated": not is_held}


def remove(desk: Desk, name: str) -> dict[str, object]:
    """
    Forget a key; in force in every running worker when this returns. A second removal does no harm.

    Made even when the journal cannot be written.

    Raises:
        OperatorError: `not_found`, or what `Desk.changing` raises.
    """
    with desk.changing(awaits_workers=True, may_go_unrecorded=True) as change:
        with desk.reading() as registry:
            credential = get_credential(registry, name)
            grant_ids = [each.grant_id for each in registry.find_grants() if each.credential_name == name]

        def write(registry: Transaction) -> None:
            registry.set_key(credential.credential_id, None, None)
            registry.prune_removed_credentials()

        if credential.is_available:
            details = {"upstream": credential.upstream.name, "kind": credential.kind.value, "owner": credential.owner}
            change.carry_out(
                Tag.CREDENTIAL_REMOVED, name, {**details, "grants_left_without_key": len(grant_ids)}, write
            )
    return _render(dataclasses.replace(credential, sealed=None))


def find_all(desk: Desk) -> list[dict[str, object]]:
    """
    All credentials, by name, without their keys.
    """
    with desk.reading() as registry:
        return [_render(credential) for credential in registry.find_credentials().values()]


def get_credential(registry: Reading, name: str) -> Credential:
    """
    The credential of that name.

    Raises:
        OperatorError: `not_found`; `invalid` for what is no name.
    """
    credential = registry.find_credential(parse_name(name, "credential"))
    if credential is None:
        raise OperatorError(
            OperatorReason.NOT_FOUND,
            f"There is no credential {name}. `noojee-gateway credential list` shows those there are.",
        )
    return credential


def _parse_kind_and_owner(kind: str, owner: str | None) -> tuple[Kind, str | None]:
    try:
        parsed = Kind(kind)
    except ValueError:
        raise OperatorError(OperatorReason.INVALID, "--kind is global or user.") from None
    if parsed is Kind.USER and owner is None:
        raise OperatorError(
            OperatorReason.INVALID, "A user credential needs --owner: the login of the Noojee user it acts for."
        )
    if parsed is Kind.GLOBAL and owner is not None:
        raise OperatorError(OperatorReason.INVALID, "A global credential acts for no user. Leave --owner out.")
    return parsed, parse_owner(owner) if owner is not None else None


def _check_revival(present: Credential, wanted: Credential) -> None:
    name = present.name
    if present.is_available:
        raise OperatorError(
            OperatorReason.EXISTS,
            f"There is a credential {name} already. Choose another name, or remove it first with `noojee-gateway "
            f"credential remove {name}`.",
        )
    if present != wanted:
        raise OperatorError(
            OperatorReason.EXISTS,
            f"A removed credential {name} is still named by grants, for another upstream, kind or owner. Remove these "
            "grants first, or choose another name.",
        )


def _render(credential: Credential) -> dict[str, object]:
    return {
        "name": credential.name,
        "upstream": credential.upstream.name,
        "kind": credential.kind.value,
        "owner": credential.owner,
        "state": "active" if credential.is_available else "removed",
    }
