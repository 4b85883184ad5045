"""
Reading the registry: one transaction's view of it, as values.

Everything that one `Reading` returns is of one version, whatever others commit meanwhile. The statements are plain SQL
that PostgreSQL knows too; a placeholder is written as sqlite3 wants it, `:name`.
"""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from gateway.access.credential import Credential, Kind
from gateway.access.proxy import parse_proxy
from gateway.access.upstream import AuthMethod, Upstream
from gateway.registry.rows import CallerRow, GrantRow, OwedEvent, TokenRow

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping

__all__ = ["Reading", "TokenState"]

TokenState: TypeAlias = "tuple[bytes, str, str, str | None]"
"""Of a token: its digest, its id, its caller's name, and when it expires, as text."""

_Row: TypeAlias = "tuple[Any, ...]"

_UPSTREAMS = (
    "SELECT name, host, port, prefix, auth, ca_pem, proxy, proxy_sealed, pins, allow_old_tls FROM upstreams "
    "ORDER BY name"
)
_CREDENTIALS = "SELECT credential_id, name, upstream_name, kind, owner, sealed FROM credentials ORDER BY name"
_FINGERPRINTS = "SELECT fingerprint, name FROM credentials WHERE fingerprint IS NOT NULL ORDER BY name"
_FINGERPRINT = "SELECT fingerprint FROM credentials WHERE name = :name"
_CALLERS = "SELECT name, networks, query_token_allowed, is_enabled, rate_per_second, burst, concurrency FROM callers"
_CHANGED_CALLERS = "SELECT name FROM callers WHERE changed_in > :version"
_GRANTS = (
    "SELECT grant_id, caller_name, name, operations, rules, allow_unique_ids FROM grants "
    "JOIN credentials ON credentials.credential_id = grants.credential_id"
)
_TOKENS = "SELECT token_id, caller_name, issued_at, expires_at, revoked_at, lifetime_seconds FROM tokens"
_STATES = (
    "SELECT digest, token_id, caller_name, expires_at FROM tokens JOIN callers ON callers.name = tokens.caller_name"
)
_IS_USABLE = "revoked_at IS NULL AND is_enabled"
_OWED_EVENTS = "SELECT request_id, version, event FROM owed_events ORDER BY version"


class Reading:
    """
    One consistent view. Lists are in the order in which they are shown: by name, grants and tokens the oldest first.

    Args:
        connection: With a transaction open.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @property
    def version(self) -> int:
        """
        The registry's version in this view.
        """
        return int(self._connection.execute("SELECT version FROM meta").fetchone()[0])

    def find_upstreams(self) -> dict[str, Upstream]:
        """
        All upstreams, by name.
        """
        return {row[0]: _as_upstream(row) for row in self._connection.execute(_UPSTREAMS)}

    def find_upstream(self, name: str) -> Upstream | None:
        """
        The upstream of that name.
        """
        return self.find_upstreams().get(name)  # there is rarely more than one

    def find_credentials(self) -> dict[str, Credential]:
        """
        All credentials, by name, removed ones that grants still name among them.
        """
        upstreams = self.find_upstreams()
        return {
            name: Credential(
                credential_id=credential_id,
                name=name,
                upstream=upstreams[upstream_name],
                kind=Kind(kind),
                owner=owner,
                sealed=sealed,
            )
            for credential_id, name, upstream_name, kind, owner, sealed in self._connection.execute(_CREDENTIALS)
        }

    def find_credential(self, name: str) -> Credential | None:
        """
        The credential of that name.
        """
        return self.find_credentials().get(name)

    def find_fingerprints(self) -> dict[bytes, str]:
        """
        Keyed fingerprint of an API key -> name of the credential that holds it; of several the first by name.
        """
        found: dict[bytes, str] = {}
        for fingerprint, name in self._connection.execute(_FINGERPRINTS):
            found.setdefault(fingerprint, name)
        return found

    def find_fingerprint(self, credential_name: str) -> bytes | None:
        """
        The keyed fingerprint of the API key that a credential holds.
        """
        row = self._connection.execute(_FINGERPRINT, {"name": credential_name}).fetchone()
        return row[0] if row is not None else None

    def find_callers(self) -> list[CallerRow]:
        """
        All callers.
        """
        return [_as_caller(row) for row in self._connection.execute(f"{_CALLERS} ORDER BY name")]

    def iterate_callers(self, slice_size: int) -> Iterator[list[CallerRow]]:
        """
        All callers, in slices.
        """
        for rows in self._iterate(f"{_CALLERS} ORDER BY name", {}, slice_size):
            yield [_as_caller(row) for row in rows]

    def find_caller(self, name: str) -> CallerRow | None:
        """
        The caller of that name.
        """
        row = self._connection.execute(f"{_CALLERS} WHERE name = :name", {"name": name}).fetchone()
        return _as_caller(row) if row is not None else None

    def find_grants(self, *, caller_name: str | None = None) -> list[GrantRow]:
        """
        All grants, or those of a caller.
        """
        return self._find_grants("" if caller_name is None else "WHERE caller_name = :name", {"name": caller_name})

    def iterate_grants(self, slice_size: int) -> Iterator[list[GrantRow]]:
        """
        All grants, in slices.
        """
        for rows in self._iterate(f"{_GRANTS} ORDER BY sequence", {}, slice_size):
            yield [_as_grant(row) for row in rows]

    def find_grant(self, grant_id: str) -> GrantRow | None:
        """
        The grant of that id.
        """
        found = self._find_grants("WHERE grant_id = :id", {"id": grant_id})
        return found[0] if found else None

    def find_tokens(self, *, caller_name: str | None = None) -> list[TokenRow]:
        """
        All tokens, or those of a caller, revoked and expired ones too.
        """
        return self._find_tokens("" if caller_name is None else "WHERE caller_name = :name", {"name": caller_name})

    def find_token(self, token_id: str) -> TokenRow | None:
        """
        The token of that id.
        """
        found = self._find_tokens("WHERE token_id = :id", {"id": token_id})
        return found[0] if found else None

    def iterate_usable_tokens(self, slice_size: int) -> Iterator[list[TokenState]]:
        """
        All tokens that are neither revoked nor of a disabled caller, in no order.

        In slices, because there may be a hundred thousand, and one list of them would hold the interpreter for as long.

        Args:
            slice_size: The most tokens of a slice.
        """
        return self._iterate(f"{_STATES} WHERE {_IS_USABLE}", {}, slice_size)

    def iterate_changed_tokens(self, changed_after: int, slice_size: int) -> Iterator[tuple[list[TokenState], bool]]:
        """
        What became of tokens after a version, in no order, some perhaps twice: slices, and whether those are usable.

        Usable ones are those that changed, and all of callers that did; the others are those that changed.
        """
        version = {"version": changed_after}
        # Several statements and not an OR over two tables, for which SQLite would read all tokens.
        for where, is_usable in (
            (f"tokens.changed_in > :version AND NOT ({_IS_USABLE})", False),
            (f"tokens.changed_in > :version AND {_IS_USABLE}", True),
            (f"callers.changed_in > :version AND {_IS_USABLE}", True),
        ):
            for each in self._iterate(f"{_STATES} WHERE {where}", version, slice_size):
                yield each, is_usable

    def find_changed_callers(self, changed_after: int) -> frozenset[str]:
        """
        The names of callers that were added or changed after that version.
        """
        rows = self._connection.execute(_CHANGED_CALLERS, {"version": changed_after})
        return frozenset(name for (name,) in rows)

    def find_owed_events(self) -> list[OwedEvent]:
        """
        Events that the journal has not got yet, in the order of their changes.
        """
        return [OwedEvent(*row) for row in self._connection.execute(_OWED_EVENTS)]

    def _find_grants(self, where: str, values: Mapping[str, object]) -> list[GrantRow]:
        return [_as_grant(row) for row in self._connection.execute(f"{_GRANTS} {where} ORDER BY sequence", values)]

    def _find_tokens(self, where: str, values: Mapping[str, object]) -> list[TokenRow]:
        statement = f"{_TOKENS} {where} ORDER BY issued_at, token_id"
        return [_as_token(row) for row in self._connection.execute(statement, values)]

    def _iterate(self, statement: str, values: Mapping[str, object], slice_size: int) -> Iterator[list[Any]]:
        rows = self._connection.execute(statement, values)
        while piece := rows.fetchmany(slice_size):
            yield piece


def _as_upstream(row: _Row) -> Upstream:
    name, host, port, prefix, auth, ca_pem, proxy, proxy_sealed, pins, allow_old_tls = row
    return Upstream(
        name=name,
        host=host,
        port=port,
        prefix=prefix,
        auth=AuthMethod(auth),
        ca_pem=ca_pem,
        proxy=dataclasses.replace(parse_proxy(proxy), sealed=proxy_sealed) if proxy is not None else None,
        pins=tuple(json.loads(pins)),
        allow_old_tls=bool(allow_old_tls),
    )


def _as_caller(row: _Row) -> CallerRow:
    name, networks, query_token_allowed, is_enabled, rate_per_second, burst, concurrency = row
    return CallerRow(
        name,
        tuple(json.loads(networks)),
        bool(query_token_allowed),
        bool(is_enabled),
        rate_per_second,
        burst,
        concurrency,
    )


def _as_grant(row: _Row) -> GrantRow:
    grant_id, caller_name, credential_name, operations, rules, allow_unique_ids = row
    return GrantRow(
        grant_id,
        caller_name,
        credential_name,
        tuple(json.loads(operations)),
        tuple((parameter, rule) for parameter, rule in json.loads(rules)),
        bool(allow_unique_ids),
    )


def _as_token(row: _Row) -> TokenRow:
    token_id, caller_name, issued_at, expires_at, revoked_at, lifetime_seconds = row
    return TokenRow(
        token_id,
        caller_name,
        datetime.fromisoformat(issued_at),
        datetime.fromisoformat(expires_at) if expires_at else None,
        datetime.fromisoformat(revoked_at) if revoked_at else None,
        lifetime_seconds,
    )
