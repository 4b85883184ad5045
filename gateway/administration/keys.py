"""
The verbs of `master-key`: a new version of the ring under everything that is sealed, and the old ones' end.

At every step of a rotation all that is sealed opens with the ring on disk, so being killed anywhere loses nothing:

1. The new version is in the ring's file, beside the old ones. Nothing is sealed under it.
2. Every running worker has it, or nothing goes on.
3. `audit.key` is sealed under it, its file replaced at once.
4. The registry's keys are sealed under it, in one transaction, whose commit ends the rotation.

Whoever was stopped in between repeats the command: what has begun is finished, and no further version is made. That
is also how a ring that only its keeper may write is rotated: the keeper adds a version, the verb does the rest.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from gateway.administration.workers import find_without_version
from gateway.audit.event import Tag
from gateway.custody import AuditKey, SealError, find_seal_version, reseal_key, reseal_proxy_password
from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.access.credential import Credential
    from gateway.access.proxy import Proxy
    from gateway.access.upstream import Upstream
    from gateway.administration.desk import Desk
    from gateway.registry.reading import Reading
    from gateway.registry.transaction import Transaction

__all__ = ["prune", "rotate"]

_SUBJECT = "master_key"
_AUDIT_KEY = "audit.key"


def rotate(desk: Desk, *, credentials_dir: Path | None = None) -> dict[str, object]:
    """
    Seal everything under a new version of the master key; under the newest, when something is not yet.

    Args:
        credentials_dir: systemd's folder of credentials, where nothing is ours to write; None outside of a unit.

    Returns:
        `{"version", "versions", "credentials"}`: the version in use, those in the ring, how many keys were sealed anew.

    Raises:
        OperatorError: `key_file_read_only` when a version cannot be added, `invalid` when a key does not open, both
            before anything was changed. `not_acknowledged` when a running worker has not got the new version: it is in
            the ring, and nothing is sealed under it. What `Ring.add_version` and `Desk.changing` raise.
    """
    with desk.changing() as change:
        with desk.reading() as registry:
            held, proxied = _find_held(registry), _find_proxied(registry)
            _check_all_open(desk, held, proxied)
            used = _find_used(desk, held, proxied)
        before = desk.ring.newest_version
        adds = all(version == before for versions in used.values() for version in versions)
        if adds:
            _check_writable(desk, credentials_dir, f"add version {before + 1} to it")
        version = before + 1 if adds else before

        def write(registry: Transaction) -> None:
            if adds:
                desk.ring.add_version()
            # Durable in the ring. A crash from here on leaves a version more than is used, and the next rotation uses
            # it.
            _check_workers(desk, version)
            AuditKey.reseal(desk.data_dir / _AUDIT_KEY, desk.ring)
            # A crash here leaves audit.key under the new version and the registry under the old one. Both open.
            for credential in held:
                registry.set_seal(credential.credential_id, reseal_key(desk.ring, credential))
            for upstream, proxy in proxied:
                sealed = reseal_proxy_password(desk.ring, upstream, proxy)
                registry.set_upstream(dataclasses.replace(upstream, proxy=dataclasses.replace(proxy, sealed=sealed)))

        old = sorted({each for versions in used.values() for each in versions} - {version})
        details = {"version": version, "replaces": old, "credentials": len(held)}
        change.carry_out(Tag.MASTER_KEY_ROTATED, _SUBJECT, details, write)
    return {"version": version, "versions": desk.ring.versions, "credentials": len(held)}


def prune(desk: Desk, *, credentials_dir: Path | None = None) -> dict[str, object]:
    """
    Remove every version but the newest from the ring; with one version alone there is nothing to do.

    A backup from before the rotation does not open with what is left.

    Args:
        credentials_dir: As for `rotate`.

    Returns:
        `{"version", "removed": [versions]}`.

    Raises:
        OperatorError: `in_use` when something is still sealed under one of them, `key_file_read_only`; nothing was
            changed. What `Ring.prune` and `Desk.changing` raise.
    """
    with desk.changing() as change:
        newest = desk.ring.newest_version
        old = [version for version in desk.ring.versions if version != newest]
        with desk.reading() as registry:
            used = _find_used(desk, _find_held(registry), _find_proxied(registry))
        users = [name for name, versions in used.items() if versions - {newest}]
        if users:
            raise OperatorError(
                OperatorReason.IN_USE,
                f"Still sealed under an old version of the master key: {', '.join(users)}. Run `noojee-gateway "
                "master-key rotate` first; nothing was changed.",
            )
        if old:
            _check_writable(desk, credentials_dir, f"remove {_name_versions(old)} from it", is_pruning=True)

            def write(_registry: Transaction) -> None:
                # Nothing is sealed under them. A crash between this and the commit is recorded as an interrupted
                # change, though they are gone: the file is the truth, and the cautious word on record does no harm.
                desk.ring.prune(old)

            change.carry_out(Tag.MASTER_KEY_PRUNED, _SUBJECT, {"version": newest, "removed": old}, write)
    return {"version": newest, "removed": old}


def _find_held(registry: Reading) -> list[Credential]:
    return [credential for credential in registry.find_credentials().values() if credential.is_available]


def _find_proxied(registry: Reading) -> list[tuple[Upstream, Proxy]]:
    """
    The upstreams behind a proxy with a password, and that proxy.
    """
    found = ((each, each.proxy) for each in registry.find_upstreams().values())
    return [(upstream, proxy) for upstream, proxy in found if proxy is not None and proxy.sealed is not None]


def _check_all_open(desk: Desk, held: list[Credential], proxied: list[tuple[Upstream, Proxy]]) -> None:
    for upstream, proxy in proxied:
        try:
            reseal_proxy_password(desk.ring, upstream, proxy)
        except SealError as error:
            raise OperatorError(
                OperatorReason.INVALID,
                f"The password for the proxy of the upstream {upstream.name} does not open: {error.detail}. Enter it "
                f"again with `noojee-gateway upstream set {upstream.name} --proxy {proxy.url}`; nothing was changed.",
            ) from None
    for credential in held:
        try:
            reseal_key(desk.ring, credential)
        except SealError as error:
            raise OperatorError(
                OperatorReason.INVALID,
                f"The key of the credential {credential.name} does not open: {error.detail}. Enter it again with "
                f"`noojee-gateway credential rotate {credential.name}`, or remove the credential; nothing was changed.",
            ) from None


def _find_used(desk: Desk, held: list[Credential], proxied: list[tuple[Upstream, Proxy]]) -> dict[str, frozenset[int]]:
    """
    Under which versions of the ring each thing is sealed: credentials and proxies by name, and the audit key's file.
    """
    used = {_AUDIT_KEY: AuditKey.find_seal_versions(desk.data_dir / _AUDIT_KEY)}
    seals = {f"credential {each.name}": each.sealed for each in held}
    seals |= {f"proxy of upstream {upstream.name}": proxy.sealed for upstream, proxy in proxied}
    for name, sealed in seals.items():
        try:
            version = find_seal_version(sealed or b"")
        except SealError:
            version = 0  # no version: what is damaged is not under the newest
        used[name] = frozenset({version})
    return used


def _check_writable(desk: Desk, credentials_dir: Path | None, what: str, *, is_pruning: bool = False) -> None:
    path = desk.ring.path
    try:
        if credentials_dir is not None and path.absolute().is_relative_to(credentials_dir.absolute()):
            raise OperatorError(
                OperatorReason.KEY_FILE_READ_ONLY, f"{path} is a credential of systemd, a copy for this service alone."
            )
        desk.ring.check_writable()
    except OperatorError as error:
        if is_pruning:
            advice = "Where the file is kept, remove their lines; nothing is sealed under them any more."
        else:
            advice = (
                f"Where the file is kept, add a line `{desk.ring.newest_version + 1} KEY`, KEY being what `openssl "
                "rand -base64 32` prints; see that the gateway gets the new file, then repeat the command: it seals "
                "everything under that version."
            )
        raise OperatorError(
            error.reason, f"{error.detail} So this command cannot {what}, and nothing was changed. {advice}"
        ) from None


def _check_workers(desk: Desk, version: int) -> None:
    silent = find_without_version(desk.find_run_dir(), version)
    if silent:
        raise OperatorError(
            OperatorReason.NOT_ACKNOWLEDGED,
            f"A running worker ({', '.join(silent)}) has not got version {version} of the master key from its own "
            "GATEWAY_MASTER_KEY_FILE within 2 seconds, so nothing was sealed under it. See that the gateway reads the "
            "same file (systemd copies credentials when a unit starts), restart it, then repeat the command.",
        )


def _name_versions(versions: list[int]) -> str:
    return f"version{'s' if len(versions) > 1 else ''} {', '.join(map(str, versions))}"
