"""
From the registry to a document that describes it: applied to the same registry it changes nothing.

No secret is in it, sealed or not: where a key is needed on another machine, the document asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.administration.caller_limits import render_rate
from gateway.administration.declaration import ANYWHERE, VERSION

if TYPE_CHECKING:
    from gateway.access.credential import Credential
    from gateway.access.upstream import Upstream
    from gateway.administration.desk import Desk
    from gateway.registry.rows import CallerRow, GrantRow

__all__ = ["export"]


def export(desk: Desk) -> tuple[dict[str, Any], list[str]]:
    """
    The document, and sentences on what it cannot say.

    A credential that was removed and has no key is left out, with the grants that still name it: a document says what
    there shall be.

    Raises:
        OperatorError: `registry_unavailable`.
    """
    with desk.reading() as registry:
        upstreams = registry.find_upstreams().values()
        credentials = registry.find_credentials()
        callers = registry.find_callers()
        rows = registry.find_grants()
    grants: dict[str, list[GrantRow]] = {caller.name: [] for caller in callers}
    notes = []
    for grant in rows:
        if credentials[grant.credential_name].is_available:
            grants[grant.caller_name].append(grant)
        else:
            notes.append(
                f"The grant {grant.grant_id} of {grant.caller_name} is not in the document: its credential "
                f"{grant.credential_name} was removed and has no key."
            )
    parts = {
        "upstreams": [_describe_upstream(each) for each in upstreams],
        "credentials": [_describe_credential(each) for each in credentials.values() if each.is_available],
        "callers": [_describe_caller(each, grants[each.name]) for each in callers],
    }
    return {"version": VERSION, **{name: part for name, part in parts.items() if part}}, notes


def _describe_upstream(upstream: Upstream) -> dict[str, Any]:
    part: dict[str, Any] = {"name": upstream.name, "url": upstream.url, "auth": upstream.auth.value}
    if upstream.ca_pem is not None:
        part["ca_pem"] = upstream.ca_pem
    if upstream.proxy is not None:
        part["proxy"] = upstream.proxy.url
        if upstream.proxy.user is not None:
            part["proxy_password"] = "stdin"  # noqa: S105 - where it comes from
    if upstream.pins:
        part["pins"] = list(upstream.pins)
    if upstream.allow_old_tls:
        part["allow_old_tls"] = True
    return part


def _describe_credential(credential: Credential) -> dict[str, Any]:
    part = {"name": credential.name, "upstream": credential.upstream.name, "kind": credential.kind.value}
    if credential.owner is not None:
        part["owner"] = credential.owner
    return {**part, "key": "stdin"}


def _describe_caller(caller: CallerRow, grants: list[GrantRow]) -> dict[str, Any]:
    part: dict[str, Any] = {
        "name": caller.name,
        "networks": list(caller.networks) or ANYWHERE,
        "query_token_allowed": caller.query_token_allowed,
    }
    if not caller.is_enabled:
        part["disabled"] = True
    limits = {
        "rate": render_rate(caller.rate_per_second) if caller.rate_per_second is not None else None,
        "burst": caller.burst,
        "concurrency": caller.concurrency,
    }
    if set_limits := {name: value for name, value in limits.items() if value is not None}:
        part["limits"] = set_limits
    if grants:
        part["grants"] = [_describe_grant(each) for each in grants]
    return part


def _describe_grant(grant: GrantRow) -> dict[str, Any]:
    part: dict[str, Any] = {"credential": grant.credential_name, "operations": list(grant.operations)}
    if grant.rules:
        part["params"] = dict(grant.rules)
    if grant.allow_unique_ids:
        part["allow_unique_ids"] = True
    return part
