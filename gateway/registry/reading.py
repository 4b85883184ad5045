"""
Reading the registry: one transaction's view of it, as values.

Everything that one `Reading` returns is of one version, whatever others commit meanwhile.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import select

from gateway.access.credential import Credential, Kind
from gateway.access.upstream import AuthMethod, Upstream
from gateway.registry import schema
from gateway.registry.rows import CallerRow, GrantRow, OwedEvent, TokenRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from sqlalchemy import Connection, Row, Select

    TokenState = Row[bytes, str, str, str | None, bool]

__all__ = ["Reading"]

_GRANTS = (
    select(
        schema.grants.c.grant_id,
        schema.grants.c.caller_name,
        schema.credentials.c.name,
        schema.grants.c.operations,
        schema.grants.c.rules,
        schema.grants.c.allow_unique_ids,
    )
    .join_from(schema.grants, schema.credentials)
    .order_by(schema.grants.c.sequence)
)
_TOKENS = select(
    schema.tokens.c.token_id,
    schema.tokens.c.caller_name,
    schema.tokens.c.issued_at,
    schema.tokens.c.expires_at,
    schema.tokens.c.revoked_at,
    schema.tokens.c.lifetime_seconds,
).order_by(schema.tokens.c.issued_at, schema.tokens.c.token_id)


class Reading:
    """
    One consistent view. Lists are in the order in which they are shown: by name, grants and tokens the oldest first.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def version(self) -> int:
        """
        The registry's version in this view.
        """
        return int(self._connection.execute(select(schema.meta.c.version)).scalar_one())

    def find_upstreams(self) -> dict[str, Upstream]:
        """
        All upstreams, by name.
        """
        return {row.name: _as_upstream(row) for row in self._all(select(schema.upstreams).order_by("name"))}

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
            row.name: Credential(
                credential_id=row.credential_id,
                name=row.name,
                upstream=upstreams[row.upstream_name],
                kind=Kind(row.kind),
                owner=row.owner,
                sealed=row.sealed,
            )
            for row in self._all(select(schema.credentials).order_by("name"))
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
        rows = self._all(select(schema.credentials.c.fingerprint, schema.credentials.c.name).order_by("name"))
        found: dict[bytes, str] = {}
        for fingerprint, name in rows:
            if fingerprint is not None:
                found.setdefault(fingerprint, name)
        return found

    def find_fingerprint(self, credential_name: str) -> bytes | None:
        """
        The keyed fingerprint of the API key that a credential holds.
        """
        return self._connection.execute(
            select(schema.credentials.c.fingerprint).where(schema.credentials.c.name == credential_name)
        ).scalar_one_or_none()

    def find_callers(self) -> list[CallerRow]:
        """
        All callers.
        """
        return [_as_caller(row) for row in self._all(select(schema.callers).order_by("name"))]

    def find_caller(self, name: str) -> CallerRow | None:
        """
        The caller of that name.
        """
        rows = self._all(select(schema.callers).where(schema.callers.c.name == name))
        return _as_caller(rows[0]) if rows else None

    def find_grants(self, *, caller_name: str | None = None) -> list[GrantRow]:
        """
        All grants, or those of a caller.
        """
        statement = _GRANTS if caller_name is None else _GRANTS.where(schema.grants.c.caller_name == caller_name)
        return [_as_grant(row) for row in self._all(statement)]

    def find_grant(self, grant_id: str) -> GrantRow | None:
        """
        The grant of that id.
        """
        rows = self._all(_GRANTS.where(schema.grants.c.grant_id == grant_id))
        return _as_grant(rows[0]) if rows else None

    def find_tokens(self, *, caller_name: str | None = None) -> list[TokenRow]:
        """
        All tokens, or those of a caller, revoked and expired ones too.
        """
        statement = _TOKENS if caller_name is None else _TOKENS.where(schema.tokens.c.caller_name == caller_name)
        return [_as_token(row) for row in self._all(statement)]

    def find_token(self, token_id: str) -> TokenRow | None:
        """
        The token of that id.
        """
        rows = self._all(_TOKENS.where(schema.tokens.c.token_id == token_id))
        return _as_token(rows[0]) if rows else None

    def iterate_tokens(self, *, changed_after: int | None, slice_size: int) -> Iterator[Sequence[TokenState]]:
        """
        Tokens as the feed needs them, in slices: digest, token id, caller's name, expiry as text, whether it is usable.

        Plain rows, because there may be a hundred thousand, and in slices, because to make one list of them would hold
        the interpreter for as long.

        Args:
            changed_after: Tokens that changed after that version, and all usable ones of callers that did, in no order,
                some perhaps twice. None for all that are usable: not revoked, and of an enabled caller.
            slice_size: The most rows of a slice.
        """
        tokens, callers = schema.tokens.c, schema.callers.c
        is_usable = tokens.revoked_at.is_(None) & callers.is_enabled
        statement = select(
            tokens.digest, tokens.token_id, tokens.caller_name, tokens.expires_at, is_usable.label("is_usable")
        ).join_from(schema.tokens, schema.callers)
        if changed_after is None:
            statements = [statement.where(is_usable)]
        else:
            # Two statements and not an OR over two tables, for which SQLite would read all tokens.
            statements = [
                statement.where(tokens.changed_in > changed_after),
                statement.where(callers.changed_in > changed_after, is_usable),
            ]
        for each in statements:
            yield from self._connection.execute(each.execution_options(yield_per=slice_size)).partitions()

    def find_changed_callers(self, changed_after: int) -> frozenset[str]:
        """
        The names of callers that were added or changed after that version.
        """
        callers = schema.callers.c
        return frozenset(row.name for row in self._all(select(callers.name).where(callers.changed_in > changed_after)))

    def find_owed_events(self) -> list[OwedEvent]:
        """
        Events that the journal has not got yet, in the order of their changes.
        """
        return [OwedEvent(*row) for row in self._all(select(schema.owed_events).order_by("version"))]

    def _all(self, statement: Select[*tuple[Any, ...]]) -> Sequence[Row[*tuple[Any, ...]]]:
        return self._connection.execute(statement).all()


def _as_upstream(row: Row[*tuple[Any, ...]]) -> Upstream:
    return Upstream(
        name=row.name, host=row.host, port=row.port, prefix=row.prefix, auth=AuthMethod(row.auth), ca_pem=row.ca_pem
    )


def _as_caller(row: Row[*tuple[Any, ...]]) -> CallerRow:
    return CallerRow(
        row.name,
        tuple(json.loads(row.networks)),
        row.query_token_allowed,
        row.is_enabled,
        row.rate_per_second,
        row.burst,
        row.concurrency,
    )


def _as_grant(row: Row[*tuple[Any, ...]]) -> GrantRow:
    return GrantRow(
        row.grant_id,
        row.caller_name,
        row.name,
        tuple(json.loads(row.operations)),
        tuple((parameter, rule) for parameter, rule in json.loads(row.rules)),
        row.allow_unique_ids,
    )


def _as_token(row: Row[*tuple[Any, ...]]) -> TokenRow:
    return TokenRow(
        row.token_id,
        row.caller_name,
        datetime.fromisoformat(row.issued_at),
        datetime.fromisoformat(row.expires_at) if row.expires_at else None,
        datetime.fromisoformat(row.revoked_at) if row.revoked_at else None,
        row.lifetime_seconds,
    )
