"""
The steps a plan is made of, each made by the verb's own function, and how each is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.administration import callers, credentials, grants, upstreams
from gateway.administration.caller_limits import render_rate
from gateway.administration.declaration import ANYWHERE
from gateway.administration.declaration_step import Action, Step
from gateway.administration.upstream_way import NONE, describe_way

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.access.credential import Credential
    from gateway.access.upstream import Upstream
    from gateway.administration.declaration import CredentialPart
    from gateway.administration.desk import Desk
    from gateway.registry.rows import CallerRow, GrantRow
    from gateway.secret import Secret

__all__ = [
    "add_caller",
    "add_credential",
    "add_grant",
    "add_upstream",
    "change_caller",
    "change_upstream",
    "describe_caller",
    "describe_credential",
    "describe_upstream",
    "disable_caller",
    "enable_caller",
    "name_password",
    "remove_caller",
    "remove_credential",
    "remove_grant",
    "remove_upstream",
    "rotate_credential",
]


def name_password(upstream_name: str) -> str:
    """
    What a proxy's password is called among the keys. No credential's name has a space.
    """
    return f"the proxy of {upstream_name}"


def describe_upstream(upstream: Upstream) -> dict[str, object]:
    """
    An upstream as a step tells of it.
    """
    return {
        "url": upstream.url,
        "auth": upstream.auth.value,
        "ca": upstream.ca_pem is not None,
        **describe_way(upstream),
    }


def _describe_briefly(upstream: Upstream) -> dict[str, object]:
    usual: dict[str, object] = {"proxy": None, "pins": [], "allow_old_tls": False}
    return {name: value for name, value in describe_upstream(upstream).items() if usual.get(name, "") != value}


def describe_credential(upstream: str, kind: str, owner: str | None) -> dict[str, object]:
    """
    A credential as a step tells of it.
    """
    return {"upstream": upstream, "kind": str(kind), "owner": owner}


def describe_caller(row: CallerRow) -> dict[str, object]:
    """
    A caller as it is stored, for comparing: a limit that is not set is `default`, whatever that is.
    """
    return {
        "networks": sorted(row.networks) or ANYWHERE,
        "query_token_allowed": row.query_token_allowed,
        "rate": render_rate(row.rate_per_second) if row.rate_per_second is not None else "default",
        "burst": row.burst or "default",
        "concurrency": row.concurrency or "default",
    }


def _describe_grant(row: GrantRow) -> dict[str, object]:
    hidden = ("grant_id", "caller")
    return {
        name: value for name, value in grants.render(row).items() if name not in hidden and value not in ([], False)
    }


def add_upstream(upstream: Upstream) -> Step:
    """
    Add an upstream, which nobody uses yet.
    """

    def make(desk: Desk, keys: Mapping[str, Secret]) -> None:
        upstreams.add(
            desk,
            upstream.name,
            url=upstream.url,
            auth=upstream.auth.value,
            ca_pem=upstream.ca_pem,
            proxy=upstream.proxy.url if upstream.proxy is not None else None,
            proxy_password=keys.get(name_password(upstream.name)),
            pins=upstream.pins or None,
            allow_old_tls=upstream.allow_old_tls,
        )

    return Step(Action.ADD, "upstream", upstream.name, _describe_briefly(upstream), make)


def change_upstream(
    upstream: Upstream, details: Mapping[str, object], moved: Sequence[str], *, is_same_proxy: bool
) -> Step:
    """
    Make an upstream what this one is.

    Args:
        moved: The credentials whose keys are entered again.
        is_same_proxy: Whether what is sealed for the proxy's user stays.
    """
    proxy = upstream.proxy.url if upstream.proxy is not None else NONE

    def make(desk: Desk, keys: Mapping[str, Secret]) -> None:
        upstreams.change(
            desk,
            upstream.name,
            url=upstream.url,
            auth=upstream.auth.value,
            ca_pem=upstream.ca_pem or "",
            proxy=None if is_same_proxy else proxy,
            proxy_password=keys.get(name_password(upstream.name)),
            pins=upstream.pins or [NONE],
            allow_old_tls=upstream.allow_old_tls,
            keys={each: keys[each] for each in moved},
        )

    return Step(Action.CHANGE, "upstream", upstream.name, details, make)


def remove_upstream(upstream: Upstream) -> Step:
    """
    Remove an upstream without credentials.
    """
    return Step(
        Action.REMOVE,
        "upstream",
        upstream.name,
        _describe_briefly(upstream),
        lambda desk, _: upstreams.remove(desk, upstream.name),
    )


def add_credential(part: CredentialPart) -> Step:
    """
    Add a credential, or give a removed one a key again.
    """

    def make(desk: Desk, keys: Mapping[str, Secret]) -> None:
        credentials.add(desk, part.name, upstream=part.upstream, kind=part.kind, owner=part.owner, key=keys[part.name])

    details = describe_credential(part.upstream, part.kind, part.owner)
    return Step(Action.ADD, "credential", part.name, details, make)


def rotate_credential(name: str) -> Step:
    """
    Put the key in its file in the place of the one that is held.
    """
    details = {"key": ["the key that is held", "the key in key_file"]}
    return Step(
        Action.CHANGE, "credential", name, details, lambda desk, keys: credentials.rotate(desk, name, key=keys[name])
    )


def remove_credential(credential: Credential) -> Step:
    """
    Forget a key.
    """
    return Step(
        Action.REMOVE,
        "credential",
        credential.name,
        describe_credential(credential.upstream.name, credential.kind, credential.owner),
        lambda desk, _: credentials.remove(desk, credential.name),
    )


def add_caller(row: CallerRow) -> Step:
    """
    Add a caller, which can do nothing yet.
    """
    return Step(
        Action.ADD, "caller", row.name, describe_caller(row), lambda desk, _: callers.add(desk, row.name, **_give(row))
    )


def change_caller(row: CallerRow, details: Mapping[str, object]) -> Step:
    """
    Make a caller what the row says, but for its state.
    """
    return Step(
        Action.CHANGE, "caller", row.name, details, lambda desk, _: callers.change(desk, row.name, **_give(row))
    )


def _give(row: CallerRow) -> dict[str, Any]:
    """
    A row as the verbs' arguments.
    """
    told = describe_caller(row)
    limits = {name: str(told[name]) for name in ("rate", "burst", "concurrency")}
    return {"networks": list(row.networks), "query_token_allowed": row.query_token_allowed, **limits}


def enable_caller(name: str) -> Step:
    """
    Accept a caller's tokens again.
    """
    details = {"state": ["disabled", "active"]}
    return Step(Action.CHANGE, "caller", name, details, lambda desk, _: callers.enable(desk, name))


def disable_caller(name: str) -> Step:
    """
    Refuse all of a caller's tokens.
    """
    details = {"state": ["active", "disabled"]}
    return Step(Action.CHANGE, "caller", name, details, lambda desk, _: callers.disable(desk, name))


def remove_caller(name: str, details: Mapping[str, object]) -> Step:
    """
    Remove a caller, its tokens and its grants.
    """
    return Step(Action.REMOVE, "caller", name, details, lambda desk, _: callers.remove(desk, name))


def add_grant(row: GrantRow) -> Step:
    """
    Give a grant.
    """

    def make(desk: Desk, keys: Mapping[str, Secret]) -> None:
        del keys
        grants.add(
            desk,
            row.caller_name,
            credential=row.credential_name,
            operations=row.operations,
            rules=row.rules,
            allow_unique_ids=row.allow_unique_ids,
        )

    return Step(Action.ADD, "grant", "", _describe_grant(row), make, row.caller_name)


def remove_grant(row: GrantRow) -> Step:
    """
    Take a grant back.
    """
    return Step(
        Action.REMOVE,
        "grant",
        row.grant_id,
        _describe_grant(row),
        lambda desk, _: grants.remove(desk, row.grant_id),
        row.caller_name,
    )
