"""
The feed: the whole registry as one immutable snapshot, for the data plane and for whatever decides like it.
"""

from __future__ import annotations

from datetime import datetime
from ipaddress import ip_network
from types import MappingProxyType
from typing import TYPE_CHECKING

from gateway.access.caller import Caller
from gateway.access.grant import Grant
from gateway.access.rules import parse_rule
from gateway.access.snapshot import Snapshot
from gateway.access.token import Token
from gateway.errors import StorageError

if TYPE_CHECKING:
    from gateway.registry.reading import Reading
    from gateway.registry.store import Store

__all__ = ["load_snapshot"]


def load_snapshot(store: Store) -> Snapshot:
    """
    The registry's present version.

    Blocks while it reads, some tenths of a second for 100,000 tokens: call it in a thread. Safe for use by several.

    Raises:
        StorageError: It cannot be read, or holds what no release of ours wrote.
    """
    try:
        with store.reading() as registry:
            return _build(registry)
    except (KeyError, TypeError, ValueError) as error:
        # Without the text: it may quote a row.
        raise StorageError(f"The registry {store.path} is damaged ({type(error).__name__}).") from None


def _build(registry: Reading) -> Snapshot:
    credentials = registry.find_credentials()
    grants: dict[str, list[Grant]] = {}
    for row in registry.find_grants():
        rules = tuple(parse_rule(parameter, text) for parameter, text in row.rules)
        grant = Grant(row.grant_id, credentials[row.credential_name], row.operations, rules, row.allow_unique_ids)
        grants.setdefault(row.caller_name, []).append(grant)
    callers = {
        row.name: Caller(
            name=row.name,
            networks=tuple(ip_network(network) for network in row.networks),
            query_token_allowed=row.query_token_allowed,
            grants=tuple(grants.get(row.name, ())),
        )
        for row in registry.find_callers()
        if row.is_enabled
    }
    tokens = {
        digest: Token(token_id, caller_name, datetime.fromisoformat(expires_at) if expires_at else None)
        for digest, token_id, caller_name, expires_at in registry.find_usable_tokens()
    }
    return Snapshot(
        version=registry.version,
        tokens=MappingProxyType(tokens),
        callers=MappingProxyType(callers),
        credentials=MappingProxyType(credentials),
        fingerprints=MappingProxyType(registry.find_fingerprints()),
    )
