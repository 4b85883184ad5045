"""
Changing the registry: what one transaction writes, all of it or nothing.

Holds no rule of its own: what may be changed is decided in `gateway.administration`, which holds the journal meanwhile.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import delete, exists, insert, update

from gateway.clock import render_instant
from gateway.registry import schema
from gateway.registry.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import Connection

    from gateway.access.credential import Credential
    from gateway.access.upstream import Upstream
    from gateway.registry.rows import CallerRow, OwedEvent, TokenRow

__all__ = ["Transaction"]


class Transaction(Reading):
    """
    A reading that also writes. Nothing is seen by others, or durable, before the store's `transaction()` has ended.

    Raising the version is its first statement, so that it holds the one row that all writers need, and transactions
    come one after another on any database. Within it `version` is that after the change, and the rows of callers and
    tokens that it writes bear it as `changed_in`.
    """

    def __init__(self, connection: Connection, *, raises_version: bool = True) -> None:
        super().__init__(connection)
        if raises_version:
            connection.execute(update(schema.meta).values(version=schema.meta.c.version + 1))

    def add_upstream(self, upstream: Upstream) -> None:
        """
        Add an upstream.
        """
        self._connection.execute(insert(schema.upstreams).values(name=upstream.name, **_upstream_values(upstream)))

    def set_upstream(self, upstream: Upstream) -> None:
        """
        Put these values in the place of those of the upstream of that name.
        """
        self._connection.execute(
            update(schema.upstreams)
            .where(schema.upstreams.c.name == upstream.name)
            .values(**_upstream_values(upstream))
        )

    def remove_upstream(self, name: str) -> None:
        """
        Remove an upstream that no credential names.
        """
        self._connection.execute(delete(schema.upstreams).where(schema.upstreams.c.name == name))

    def add_credential(self, credential: Credential, fingerprint: bytes) -> None:
        """
        Add a credential with its sealed key.
        """
        self._connection.execute(
            insert(schema.credentials).values(
                credential_id=credential.credential_id,
                name=credential.name,
                upstream_name=credential.upstream.name,
                kind=credential.kind.value,
                owner=credential.owner,
                sealed=credential.sealed,
                fingerprint=fingerprint,
            )
        )

    def set_key(self, credential_id: str, sealed: bytes | None, fingerprint: bytes | None) -> None:
        """
        Replace a credential's sealed key and its fingerprint; None twice takes both away.
        """
        self._connection.execute(
            update(schema.credentials)
            .where(schema.credentials.c.credential_id == credential_id)
            .values(sealed=sealed, fingerprint=fingerprint)
        )

    def set_seal(self, credential_id: str, sealed: bytes) -> None:
        """
        Put another seal of the same key in the place of a credential's.
        """
        self._connection.execute(
            update(schema.credentials).where(schema.credentials.c.credential_id == credential_id).values(sealed=sealed)
        )

    def prune_removed_credentials(self) -> None:
        """
        Remove the credentials without a key that no grant names any more.
        """
        named = exists().where(schema.grants.c.credential_id == schema.credentials.c.credential_id)
        self._connection.execute(delete(schema.credentials).where(schema.credentials.c.sealed.is_(None), ~named))

    def add_caller(self, caller: CallerRow) -> None:
        """
        Add a caller.
        """
        self._connection.execute(
            insert(schema.callers).values(name=caller.name, changed_in=self.version, **_caller_values(caller))
        )

    def set_caller(self, caller: CallerRow) -> None:
        """
        Put these values in the place of those of the caller of that name.
        """
        self._connection.execute(
            update(schema.callers)
            .where(schema.callers.c.name == caller.name)
            .values(changed_in=self.version, **_caller_values(caller))
        )

    def remove_caller(self, name: str) -> None:
        """
        Remove a caller, its tokens and its grants.
        """
        self._connection.execute(delete(schema.tokens).where(schema.tokens.c.caller_name == name))
        self._connection.execute(delete(schema.grants).where(schema.grants.c.caller_name == name))
        self._connection.execute(delete(schema.callers).where(schema.callers.c.name == name))

    def add_grant(
        self,
        grant_id: str,
        caller_name: str,
        credential_id: str,
        operations: Sequence[str],
        *,
        rules: Sequence[tuple[str, str]] = (),
        allow_unique_ids: bool = False,
    ) -> None:
        """
        Add a grant, the youngest from now on.

        Args:
            rules: (parameter, rule as the operator wrote it).
        """
        self._connection.execute(
            insert(schema.grants).values(
                grant_id=grant_id,
                caller_name=caller_name,
                credential_id=credential_id,
                operations=json.dumps(list(operations)),
                rules=json.dumps([list(rule) for rule in rules]),
                allow_unique_ids=allow_unique_ids,
            )
        )

    def remove_grant(self, grant_id: str) -> None:
        """
        Remove a grant.
        """
        self._connection.execute(delete(schema.grants).where(schema.grants.c.grant_id == grant_id))

    def add_token(self, token: TokenRow, digest: bytes) -> None:
        """
        Add a token with the SHA-256 of its text.
        """
        self._connection.execute(
            insert(schema.tokens).values(
                token_id=token.token_id,
                caller_name=token.caller_name,
                digest=digest,
                issued_at=render_instant(token.issued_at),
                expires_at=render_instant(token.expires_at) if token.expires_at else None,
                revoked_at=None,
                changed_in=self.version,
            )
        )

    def revoke_token(self, token_id: str, revoked_at: datetime) -> None:
        """
        End a token; one that was revoked before keeps its instant.
        """
        self._connection.execute(
            update(schema.tokens)
            .where(schema.tokens.c.token_id == token_id, schema.tokens.c.revoked_at.is_(None))
            .values(revoked_at=render_instant(revoked_at), changed_in=self.version)
        )

    def expire_token(self, token_id: str, expires_at: datetime, *, lifetime: timedelta | None) -> None:
        """
        Let a token end at an instant, and keep what it was made for (None: no end), which a later rotation asks.
        """
        self._connection.execute(
            update(schema.tokens)
            .where(schema.tokens.c.token_id == token_id)
            .values(
                expires_at=render_instant(expires_at),
                lifetime_seconds=round(lifetime.total_seconds()) if lifetime is not None else 0,
                changed_in=self.version,
            )
        )

    def add_owed_event(self, owed: OwedEvent) -> None:
        """
        Keep an event for the journal, which cannot be written now.
        """
        self._connection.execute(
            insert(schema.owed_events).values(request_id=owed.request_id, version=owed.version, event=owed.event)
        )

    def remove_owed_event(self, request_id: str) -> None:
        """
        Forget an event that the journal has got.
        """
        self._connection.execute(delete(schema.owed_events).where(schema.owed_events.c.request_id == request_id))


def _upstream_values(upstream: Upstream) -> dict[str, object]:
    return {
        "host": upstream.host,
        "port": upstream.port,
        "prefix": upstream.prefix,
        "auth": upstream.auth.value,
        "ca_pem": upstream.ca_pem,
    }


def _caller_values(caller: CallerRow) -> dict[str, object]:
    return {
        "networks": json.dumps(list(caller.networks)),
        "query_token_allowed": caller.query_token_allowed,
        "is_enabled": caller.is_enabled,
        "rate_per_second": caller.rate_per_second,
        "burst": caller.burst,
        "concurrency": caller.concurrency,
    }
