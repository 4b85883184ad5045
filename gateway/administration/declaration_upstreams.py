"""
The steps for upstreams and credentials: where calls go, and with whose keys.

A key file that is there is compared with what is held, by its fingerprint, so that a new key in it is put in the old
one's place. One that is gone is no fault while the key is held: a key that lies about in a file is better removed.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from gateway.access.credential import Credential, Kind
from gateway.access.pin import parse_pin
from gateway.access.proxy import parse_proxy
from gateway.administration import upstreams
from gateway.administration.declaration_changes import (
    add_credential,
    add_upstream,
    change_upstream,
    describe_credential,
    describe_upstream,
    name_password,
    remove_credential,
    remove_upstream,
    rotate_credential,
)
from gateway.administration.declaration_faults import refuse_at
from gateway.administration.declaration_keys import check_password, read_ca_file, read_key, read_secret_file
from gateway.administration.declaration_step import Left, compare
from gateway.errors import OperatorError

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.access.proxy import Proxy
    from gateway.access.upstream import Upstream
    from gateway.administration.declaration import CredentialPart, Declaration, UpstreamPart
    from gateway.administration.declaration_step import Draft, Present, Step
    from gateway.administration.desk import Desk
    from gateway.secret import Secret

__all__ = ["CredentialPlanner"]

_REVIVED = b"\x00"
"""Stands for the sealed key of a credential that will have one."""


class CredentialPlanner:
    """
    Finds the steps for a document's upstreams and credentials.

    Args:
        folder: The document's: relative paths in it are seen from there.
        prune: Whether what the document does not have is removed.

    Attributes:
        keys: By credential's name, those read from files that steps need; and passwords of proxies.
        keys_to_enter: The names of those that must be entered.
        credentials: As they will be, by name.
    """

    def __init__(
        self, desk: Desk, declaration: Declaration, present: Present, draft: Draft, *, folder: Path, prune: bool
    ) -> None:
        self._desk = desk
        self._declaration = declaration
        self._present = present
        self._draft = draft
        self._folder = folder
        self._prune = prune
        self._moved: set[str] = set()
        self._upstreams: dict[str, Upstream] = {} if prune else dict(present.upstreams)
        self._changes: list[Step] = []
        self.keys: dict[str, Secret] = {}
        self.keys_to_enter: list[str] = []
        self.credentials: dict[str, Credential] = {}

    def plan(self) -> None:
        """
        Put all steps into the draft.

        Raises:
            OperatorError: With the place in the document.
        """
        declared = {part.name for part in self._declaration.credentials}
        self.credentials = {
            name: credential
            for name, credential in self._present.credentials.items()
            if name in declared or not (self._prune and credential.is_available)
        }
        self._remove_surplus(declared)
        for number, part in enumerate(self._declaration.upstreams):
            self._plan_upstream(part, f"upstreams[{number}]")
        self._draft.grounds += self._changes
        for number, credential in enumerate(self._declaration.credentials):
            self._plan_credential(credential, f"credentials[{number}]")

    def _remove_surplus(self, declared: set[str]) -> None:
        """
        What the document does not have: credentials first, for an upstream must not have any.
        """
        surplus = [
            each for each in self._present.credentials.values() if each.is_available and each.name not in declared
        ]
        declared_upstreams = {part.name for part in self._declaration.upstreams}
        surplus_upstreams = [each for each in self._present.upstreams.values() if each.name not in declared_upstreams]
        if not self._prune:
            self._draft.left += [Left("upstream", each.name) for each in surplus_upstreams]
            self._draft.left += [Left("credential", each.name) for each in surplus]
            return
        self._draft.grounds += [remove_credential(each) for each in surplus]
        self._draft.grounds += [remove_upstream(each) for each in surplus_upstreams]

    def _plan_upstream(self, part: UpstreamPart, place: str) -> None:
        ca_pem = part.ca_pem
        if part.ca_file is not None:
            ca_pem = read_ca_file(self._folder / part.ca_file, f"{place}.ca_file")
        try:
            wanted = upstreams.parse_upstream(part.name, url=part.url, auth=part.auth, ca_pem=ca_pem)
        except OperatorError as error:
            raise refuse_at(place, error.detail) from None
        present = self._present.upstreams.get(part.name)
        proxy = parse_proxy(part.proxy) if part.proxy is not None else None
        is_same_proxy = present is not None and _identify(present.proxy) == _identify(proxy)
        if proxy is not None and proxy.user is not None and not is_same_proxy:
            self._need_password(part, place)
        wanted = self._upstreams[part.name] = dataclasses.replace(
            wanted,
            # What is sealed for the present proxy's user stays; it can be compared with nothing.
            proxy=present.proxy if present is not None and is_same_proxy else proxy,
            pins=tuple(dict.fromkeys(map(parse_pin, part.pins))),
            allow_old_tls=part.allow_old_tls,
        )
        if present is None:
            self._draft.first.append(add_upstream(wanted))
        elif present != wanted:
            moved = self._find_moved(present, wanted, place)
            self._moved.update(moved)
            details = compare(describe_upstream(present), describe_upstream(wanted))
            if present.ca_pem != wanted.ca_pem:
                details["ca"] = [present.ca_pem is not None, wanted.ca_pem is not None]
            self._changes.append(change_upstream(wanted, details, moved, is_same_proxy=is_same_proxy))

    def _find_moved(self, present: Upstream, wanted: Upstream, place: str) -> list[str]:
        """
        The credentials whose keys must be sealed anew, all of which the document must have.
        """
        if present.origin == wanted.origin:
            return []
        moved = [each.name for each in self.credentials.values() if each.upstream == present and each.is_available]
        declared = {part.name for part in self._declaration.credentials}
        if missing := [name for name in moved if name not in declared]:
            raise refuse_at(
                place,
                f"{present.name} moves to another host or port, for which every key must be entered again, and the "
                f"document does not have these credentials of it: {', '.join(missing)}. Add them to it, or remove them "
                "first",
            )
        return moved

    def _plan_credential(self, part: CredentialPart, place: str) -> None:
        upstream = self._upstreams.get(part.upstream)
        if upstream is None:
            raise refuse_at(f"{place}.upstream", f"There is no upstream {part.upstream}. Add it to the document")
        present = self._present.credentials.get(part.name)
        if present is not None:
            _check_identity(present, part, place)
        key = None
        if part.key_file is not None:
            key = read_key(self._folder / part.key_file, f"{place}.key_file")
        if present is None or not present.is_available:
            self._need_key(part, key, place)
            # Nobody can use a new one yet; one that grants name already gives access back.
            is_new = present is None and all(each.name != part.upstream for each in self._changes)
            (self._draft.first if is_new else self._draft.grounds).append(add_credential(part))
        elif part.name in self._moved:
            self._need_key(part, key, place)
        elif key is not None and self._present.fingerprints[part.name] != self._fingerprint(key):
            self.keys[part.name] = key
            self._draft.grounds.append(rotate_credential(part.name))
        elif part.key_file is not None and key is None:
            self._draft.notes.append(f"{place}.key_file: There is no such file; the key that is held stays.")
        sealed = present.sealed if present is not None and present.sealed is not None else _REVIVED
        credential_id = present.credential_id if present is not None else ""
        self.credentials[part.name] = Credential(
            credential_id, part.name, upstream, Kind(part.kind), part.owner, sealed
        )

    def _need_password(self, part: UpstreamPart, place: str) -> None:
        if part.proxy_password_file is None:
            self.keys_to_enter.append(name_password(part.name))
            return
        where = f"{place}.proxy_password_file"
        password = read_secret_file(self._folder / part.proxy_password_file, where)
        if password is None:
            raise refuse_at(where, "There is no such file, and the password is needed")
        check_password(password, where)
        self.keys[name_password(part.name)] = password

    def _need_key(self, part: CredentialPart, key: Secret | None, place: str) -> None:
        if part.key_file is None:
            self.keys_to_enter.append(part.name)
        elif key is not None:
            self.keys[part.name] = key
        else:
            raise refuse_at(f"{place}.key_file", "There is no such file, and the key is needed")

    def _fingerprint(self, key: Secret) -> bytes:
        return self._desk.audit_key.fingerprint(key.reveal())


def _check_identity(present: Credential, part: CredentialPart, place: str) -> None:
    """
    A key belongs to one upstream and one user for as long as it has its name, for grants name it.
    """
    before = describe_credential(present.upstream.name, present.kind, present.owner)
    differing = compare(before, describe_credential(part.upstream, part.kind, part.owner))
    if differing:
        raise refuse_at(
            f"{place}.{next(iter(differing))}",
            f"The credential {part.name} has another one here, which does not change behind its grants. Give it "
            "another name in the document, or remove it and its grants first",
        )


def _identify(proxy: Proxy | None) -> tuple[object, ...] | None:
    return (proxy.host, proxy.port, proxy.user) if proxy is not None else None
