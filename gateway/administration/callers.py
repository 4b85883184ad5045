"""
The verbs of `caller`: the internal programs that hold tokens.
"""

from __future__ import annotations

import dataclasses
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from gateway.administration import grants, tokens
from gateway.administration.caller_limits import describe_limits, limit
from gateway.administration.finding import get_caller
from gateway.administration.names import parse_name
from gateway.audit.event import Tag
from gateway.errors import OperatorError, OperatorReason
from gateway.registry.rows import CallerRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.administration.desk import Desk
    from gateway.registry.transaction import Transaction

__all__ = ["add", "change", "disable", "enable", "find_all", "get", "parse_networks", "remove"]

_NETWORKS_LIMIT = 64
_IDS_LIMIT = 100
"""How many ids of what went with a caller stand in its event: a record is one line of at most 16 KiB."""


def add(
    desk: Desk,
    name: str,
    *,
    networks: Sequence[str],
    query_token_allowed: bool,
    rate: str | None = None,
    burst: str | None = None,
    concurrency: str | None = None,
) -> dict[str, object]:
    """
    Add a caller. It can do nothing before it has a grant and a token (law 6).

    Args:
        networks: CIDRs or single addresses that it may call from; none for anywhere.
        rate: Calls a second or a minute, `20/s` or `90/m`. None, as for the two below, for the default limit.
        burst: How many calls may come at once before the rate bounds them, a whole number.
        concurrency: How many calls may be under way at one time, a whole number.

    Raises:
        OperatorError: `invalid`, `exists`, or what `Desk.changing` raises.
    """
    caller = limit(
        CallerRow(parse_name(name, "caller"), parse_networks(networks), query_token_allowed, is_enabled=True),
        rate,
        burst,
        concurrency,
    )
    with desk.changing() as changing:
        with desk.reading() as registry:
            if registry.find_caller(name) is not None:
                raise OperatorError(
                    OperatorReason.EXISTS,
                    f"There is a caller {name} already. Change it with `noojee-gateway caller set {name}`.",
                )
        changing.carry_out(Tag.CALLER_ADDED, name, _describe(caller), lambda registry: registry.add_caller(caller))
    return _render(caller)


def change(
    desk: Desk,
    name: str,
    *,
    networks: Sequence[str] | None = None,
    query_token_allowed: bool | None = None,
    rate: str | None = None,
    burst: str | None = None,
    concurrency: str | None = None,
) -> dict[str, object]:
    """
    Change what is given; what is None stays. Limits are as in `add`, or `default`.

    Raises:
        OperatorError: `not_found`, `invalid`, or what `Desk.changing` raises.
    """
    if networks is None and query_token_allowed is None and rate is None and burst is None and concurrency is None:
        raise OperatorError(
            OperatorReason.INVALID,
            "Nothing to change. Say from where it may call, how it may send its token, or how much it may call.",
        )
    limit(CallerRow(name, (), query_token_allowed=True, is_enabled=True), rate, burst, concurrency)
    parsed = parse_networks(networks) if networks is not None else None
    with desk.changing() as changing:
        with desk.reading() as registry:
            old = get_caller(registry, name)
        new = dataclasses.replace(
            limit(old, rate, burst, concurrency),
            networks=old.networks if parsed is None else parsed,
            query_token_allowed=old.query_token_allowed if query_token_allowed is None else query_token_allowed,
        )
        details = {**_describe(new), "previous": _describe(old)}
        changing.carry_out(Tag.CALLER_CHANGED, name, details, lambda registry: registry.set_caller(new))
    return _render(new)


def disable(desk: Desk, name: str) -> dict[str, object]:
    """
    Refuse all tokens of a caller, in force in every running worker when this returns. A second time does no harm.

    Made even when the journal cannot be written.

    Raises:
        OperatorError: `not_found`, or what `Desk.changing` raises.
    """
    with desk.changing(awaits_workers=True, may_go_unrecorded=True) as changing:
        with desk.reading() as registry:
            old = get_caller(registry, name)
        new = dataclasses.replace(old, is_enabled=False)
        if old.is_enabled:
            changing.carry_out(Tag.CALLER_DISABLED, name, {}, lambda registry: registry.set_caller(new))
    return _render(new)


def enable(desk: Desk, name: str) -> dict[str, object]:
    """
    Accept a caller's tokens again. A second time does no harm.

    Raises:
        OperatorError: `not_found`, or what `Desk.changing` raises.
    """
    with desk.changing() as changing:
        with desk.reading() as registry:
            old = get_caller(registry, name)
        new = dataclasses.replace(old, is_enabled=True)
        if not old.is_enabled:
            changing.carry_out(Tag.CALLER_ENABLED, name, {}, lambda registry: registry.set_caller(new))
    return _render(new)


def remove(desk: Desk, name: str) -> dict[str, object]:
    """
    Remove a caller with its tokens and grants, in force in every running worker when this returns.

    Raises:
        OperatorError: `not_found`, or what `Desk.changing` raises.
    """
    with desk.changing(awaits_workers=True) as changing:
        with desk.reading() as registry:
            caller = get_caller(registry, name)
            token_ids = [each.token_id for each in registry.find_tokens(caller_name=name)]
            grant_ids = [each.grant_id for each in registry.find_grants(caller_name=name)]

        def write(registry: Transaction) -> None:
            registry.remove_caller(name)
            registry.prune_removed_credentials()

        details = {
            "tokens_removed": len(token_ids),
            "token_ids": token_ids[:_IDS_LIMIT] or None,
            "grants_removed": len(grant_ids),
            "grant_ids": grant_ids[:_IDS_LIMIT] or None,
        }
        changing.carry_out(Tag.CALLER_REMOVED, name, details, write)
    return _render(caller)


def get(desk: Desk, name: str) -> dict[str, object]:
    """
    One caller with its grants and tokens.

    Raises:
        OperatorError: `not_found`.
    """
    now = desk.clock.now()
    with desk.reading() as registry:
        return {
            **_render(get_caller(registry, name)),
            "grants": [grants.render(each) for each in registry.find_grants(caller_name=name)],
            "tokens": [tokens.render(each, now) for each in registry.find_tokens(caller_name=name)],
        }


def find_all(desk: Desk) -> list[dict[str, object]]:
    """
    All callers, by name.
    """
    with desk.reading() as registry:
        return [_render(caller) for caller in registry.find_callers()]


def parse_networks(networks: Sequence[str]) -> tuple[str, ...]:
    """
    Networks in their canonical form, each once.

    Raises:
        OperatorError: `invalid`.
    """
    if len(networks) > _NETWORKS_LIMIT:
        raise OperatorError(OperatorReason.INVALID, f"A caller has at most {_NETWORKS_LIMIT} networks.")
    return tuple(dict.fromkeys(_parse_network(network) for network in networks))


def _parse_network(text: str) -> str:
    try:
        network = ip_network(text, strict=False)
        # 10.0.0.5/8 is a slip that may open far more than was meant, so it is asked about and not rounded.
        is_exact = network.network_address == ip_address(text.partition("/")[0])
    except ValueError:
        raise OperatorError(
            OperatorReason.INVALID,
            "A network must be a CIDR or an address, as in 10.20.0.0/16, 10.20.0.7 or 2001:db8::/32.",
        ) from None
    if not is_exact:
        raise OperatorError(
            OperatorReason.INVALID,
            f"{text} has bits set beyond its prefix. Write {network}, or the single address without a prefix.",
        )
    return str(network)


def _render(caller: CallerRow) -> dict[str, object]:
    return {
        "name": caller.name,
        **_describe(caller),
        "state": "active" if caller.is_enabled else "disabled",
    }


def _describe(caller: CallerRow) -> dict[str, object]:
    return {
        "networks": list(caller.networks),
        "query_token_allowed": caller.query_token_allowed,
        **describe_limits(caller),
    }
