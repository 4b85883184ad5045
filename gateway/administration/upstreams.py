"""
The verbs of `upstream`: where calls go (law 5: fixed here, https only).

A sealed key is bound to its upstream's origin. So an upstream that moves to another host or port takes every key again,
entered by a person, within the same transaction: pointing it at a host of one's own gains nobody a key.
"""

from __future__ import annotations

import dataclasses
import ssl
from typing import TYPE_CHECKING

from gateway.access.upstream import AuthMethod, Upstream, parse_url
from gateway.administration.names import check_key, parse_name
from gateway.administration.upstream_way import describe_way, set_way
from gateway.audit.event import Tag
from gateway.custody import seal_key
from gateway.errors import OperatorError, OperatorReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.access.credential import Credential
    from gateway.administration.desk import Desk
    from gateway.registry.reading import Reading
    from gateway.registry.transaction import Transaction
    from gateway.secret import Secret

__all__ = ["add", "change", "credentials_to_enter", "find_all", "get", "get_upstream", "parse_upstream", "remove"]

_CA_LIMIT_BYTES = 256 * 1024


def add(
    desk: Desk,
    name: str,
    *,
    url: str,
    auth: str | None = None,
    ca_pem: str | None = None,
    proxy: str | None = None,
    proxy_password: Secret | None = None,
    pins: Sequence[str] | None = None,
    allow_old_tls: bool | None = None,
) -> dict[str, object]:
    """
    Add an upstream.

    Args:
        proxy: As for `set_way`, like the three behind it.

    Raises:
        OperatorError: `invalid`, `exists`, or what `Desk.changing` raises.
    """
    upstream = parse_upstream(name, url=url, auth=auth, ca_pem=ca_pem)
    with desk.changing() as change:
        upstream = set_way(
            upstream,
            desk.ring,
            proxy=proxy,
            proxy_password=proxy_password,
            pins=pins,
            allow_old_tls=allow_old_tls,
        )
        with desk.reading() as registry:
            if registry.find_upstream(name) is not None:
                raise OperatorError(
                    OperatorReason.EXISTS,
                    f"There is an upstream {name} already. Change it with `noojee-gateway upstream set {name}`.",
                )
        change.carry_out(
            Tag.UPSTREAM_ADDED, name, _describe(upstream), lambda registry: registry.add_upstream(upstream)
        )
    return _render(upstream)


def change(
    desk: Desk,
    name: str,
    *,
    url: str | None = None,
    auth: str | None = None,
    ca_pem: str | None = None,
    proxy: str | None = None,
    proxy_password: Secret | None = None,
    pins: Sequence[str] | None = None,
    allow_old_tls: bool | None = None,
    keys: Mapping[str, Secret] | None = None,
) -> dict[str, object]:
    """
    Change what is given; what is None stays.

    Args:
        ca_pem: Empty for the system's store.
        proxy: As for `set_way`, like the three behind it.
        keys: By credential's name, exactly for those of `credentials_to_enter`.

    Raises:
        OperatorError: `not_found`; `invalid`, also when a key is missing or one too many; what `Desk.changing` raises.
    """
    keys = keys or {}
    for key in keys.values():
        check_key(key)
    new_parts = _parse_parts(url, auth, ca_pem)
    if not new_parts and proxy is None and pins is None and allow_old_tls is None:
        raise OperatorError(
            OperatorReason.INVALID,
            "Nothing to change. Give --url, --auth, --ca-file, --proxy, --pin or --allow-old-tls.",
        )
    with desk.changing() as changing:
        with desk.reading() as registry:
            old = get_upstream(registry, name)
            credentials = _find_credentials(registry, old)
        new = dataclasses.replace(old, **new_parts)  # type: ignore[arg-type]  # each part was parsed for its field
        new = set_way(
            new, desk.ring, proxy=proxy, proxy_password=proxy_password, pins=pins, allow_old_tls=allow_old_tls
        )
        moved = credentials if new.origin != old.origin else []
        _check_keys(new, {each.name for each in moved}, set(keys))

        def write(registry: Transaction) -> None:
            registry.set_upstream(new)
            for credential in moved:
                key = keys[credential.name]
                sealed = seal_key(desk.ring, key, dataclasses.replace(credential, upstream=new))
                registry.set_key(credential.credential_id, sealed, desk.audit_key.fingerprint(key.reveal()))

        details = {**_describe(new), "previous_url": old.url, "keys_entered": [each.name for each in moved] or None}
        changing.carry_out(Tag.UPSTREAM_CHANGED, name, details, write)
    return _render(new)


def remove(desk: Desk, name: str) -> None:
    """
    Remove an upstream that no credential belongs to.

    Raises:
        OperatorError: `not_found`, `in_use`, or what `Desk.changing` raises.
    """
    with desk.changing() as change:
        with desk.reading() as registry:
            upstream = get_upstream(registry, name)
            names = [each.name for each in registry.find_credentials().values() if each.upstream == upstream]
        if names:
            raise OperatorError(
                OperatorReason.IN_USE,
                f"Credentials belong to the upstream {name}: {_join(names)}. Remove them, and the grants that name "
                "them, first.",
            )
        change.carry_out(
            Tag.UPSTREAM_REMOVED, name, {"url": upstream.url}, lambda registry: registry.remove_upstream(name)
        )


def get(desk: Desk, name: str) -> dict[str, object]:
    """
    One upstream.

    Raises:
        OperatorError: `not_found`.
    """
    with desk.reading() as registry:
        return _render(get_upstream(registry, name))


def find_all(desk: Desk) -> list[dict[str, object]]:
    """
    All upstreams, by name.
    """
    with desk.reading() as registry:
        return [_render(upstream) for upstream in registry.find_upstreams().values()]


def credentials_to_enter(desk: Desk, name: str, url: str) -> list[str]:
    """
    The credentials whose keys must be entered again when the upstream gets this URL, by name; none for its own origin.

    Raises:
        OperatorError: `not_found`, `invalid`.
    """
    host, port, prefix = _parse_url(url)
    with desk.reading() as registry:
        old = get_upstream(registry, name)
        new = dataclasses.replace(old, host=host, port=port, prefix=prefix)
        return [each.name for each in _find_credentials(registry, old)] if new.origin != old.origin else []


def parse_upstream(name: str, *, url: str, auth: str | None = None, ca_pem: str | None = None) -> Upstream:
    """
    An upstream from what operators write.

    Raises:
        OperatorError: `invalid`.
    """
    host, port, prefix = _parse_url(url)
    return Upstream(parse_name(name, "upstream"), host, port, prefix, _parse_auth(auth), _check_ca(ca_pem))


def get_upstream(registry: Reading, name: str) -> Upstream:
    """
    The upstream of that name.

    Raises:
        OperatorError: `not_found`; `invalid` for what is no name.
    """
    upstream = registry.find_upstream(parse_name(name, "upstream"))
    if upstream is None:
        raise OperatorError(
            OperatorReason.NOT_FOUND,
            f"There is no upstream {name}. `noojee-gateway upstream list` shows those there are.",
        )
    return upstream


def _find_credentials(registry: Reading, upstream: Upstream) -> list[Credential]:
    """
    The credentials of an upstream that hold a key.
    """
    return [each for each in registry.find_credentials().values() if each.upstream == upstream and each.is_available]


def _check_keys(new: Upstream, needed: set[str], given: set[str]) -> None:
    if missing := needed - given:
        raise OperatorError(
            OperatorReason.INVALID,
            f"{new.origin} is another origin, for which no key is sealed: enter the API keys of {_join(missing)} again "
            "in the same command, or remove these credentials first.",
        )
    if surplus := given - needed:
        raise OperatorError(
            OperatorReason.INVALID, f"No key needs to be entered for {_join(surplus)}. Leave it out; nothing changed."
        )


def _parse_parts(url: str | None, auth: str | None, ca_pem: str | None) -> dict[str, object]:
    parts: dict[str, object] = {}
    if url is not None:
        parts["host"], parts["port"], parts["prefix"] = _parse_url(url)
    if auth is not None:
        parts["auth"] = _parse_auth(auth)
    if ca_pem is not None:
        parts["ca_pem"] = _check_ca(ca_pem or None)
    return parts


def _parse_url(url: str) -> tuple[str, int, str]:
    try:
        return parse_url(url)
    except ValueError as error:
        sentence = str(error)  # of our own writing: it never quotes the URL, in which someone may have left a key
        raise OperatorError(OperatorReason.INVALID, f"{sentence[:1].upper()}{sentence[1:]}.") from None


def _parse_auth(auth: str | None) -> AuthMethod:
    if auth is None:
        return AuthMethod.API_KEY
    try:
        return AuthMethod(auth)
    except ValueError:
        raise OperatorError(OperatorReason.INVALID, "--auth is api-key or hash.") from None


def _check_ca(ca_pem: str | None) -> str | None:
    if ca_pem is None:
        return None
    if "PRIVATE KEY" in ca_pem:
        raise OperatorError(
            OperatorReason.INVALID, "The CA file holds a private key, which must not be stored. Give certificates only."
        )
    try:
        if len(ca_pem) > _CA_LIMIT_BYTES:
            raise ValueError
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=ca_pem)
    except (ssl.SSLError, ValueError):
        raise OperatorError(
            OperatorReason.INVALID,
            "The CA file holds no certificates that can be read. It must be PEM (-----BEGIN CERTIFICATE-----), at most "
            "256 KiB.",
        ) from None
    return ca_pem


def _render(upstream: Upstream) -> dict[str, object]:
    return {
        "name": upstream.name,
        "url": upstream.url,
        "auth": upstream.auth.value,
        "ca": upstream.ca_pem is not None,
        **describe_way(upstream),
    }


def _describe(upstream: Upstream) -> dict[str, object]:
    way = {name: value for name, value in describe_way(upstream).items() if value}
    return {"url": upstream.url, "auth": upstream.auth.value, "ca": upstream.ca_pem is not None, **way}


def _join(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
