"""
Changing the registry: what one transaction writes, all of it or nothing.

Holds no rule of its own: what may be changed is decided in `gateway.administration`, which holds the journal meanwhile.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gateway.clock import render_instant
from gateway.registry.reading import Reading

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from gateway.access.credential import Credential
    from gateway.access.upstream import Upstream
    from gateway.registry.rows import CallerRow, OwedEvent, TokenRow

__all__ = ["Transaction"]

_ADD_UPSTREAM = (
    "INSERT INTO upstreams (name, host, port, prefix, auth, ca_pem, proxy, proxy_sealed, pins, allow_old_tls) "
    "VALUES (:name, :host, :port, :prefix, :auth, :ca_pem, :proxy, :proxy_sealed, :pins, :allow_old_tls)"
)
_SET_UPSTREAM = (
    "UPDATE upstreams SET host = :host, port = :port, prefix = :prefix, auth = :auth, ca_pem = :ca_pem, "
    "proxy = :proxy, proxy_sealed = :proxy_sealed, pins = :pins, allow_old_tls = :allow_old_tls WHERE name = :name"
)
_ADD_CREDENTIAL = (
    "INSERT INTO credentials (credential_id, name, upstream_name, kind, owner, sealed, fingerprint) "
    "VALUES (:credential_id, :name, :upstream_name, :kind, :owner, :sealed, :fingerprint)"
)
_SET_KEY = "UPDATE credentials SET sealed = :sealed, fingerprint = :fingerprint WHERE credential_id = :credential_id"
_SET_SEAL = "UPDATE credentials SET sealed = :sealed WHERE credential_id = :credential_id"
_PRUNE = (
    "DELETE FROM credentials WHERE sealed IS NULL "
    "AND NOT EXISTS (SELECT 1 FROM grants WHERE grants.credential_id = credentials.credential_id)"
)
_ADD_CALLER = (
    "INSERT INTO callers "
    "(name, networks, query_token_allowed, is_enabled, rate_per_second, burst, concurrency, changed_in) VALUES "
    "(:name, :networks, :query_token_allowed, :is_enabled, :rate_per_second, :burst, :concurrency, :version)"
)
_SET_CALLER = (
    "UPDATE callers SET networks = :networks, query_token_allowed = :query_token_allowed, is_enabled = :is_enabled, "
    "rate_per_second = :rate_per_second, burst = :burst, concurrency = :concurrency, changed_in = :version "
    "WHERE name = :name"
)
_ADD_GRANT = (
    "INSERT INTO grants (grant_id, caller_name, credential_id, operations, rules, allow_unique_ids) "
    "VALUES (:grant_id, :caller_name, :credential_id, :operations, :rules, :allow_unique_ids)"
)
_ISSUE = (
    "INSERT INTO tokens (token_id, caller_name, digest, issued_at, expires_at, changed_in) "
    "VALUES (:token_id, :caller_name, :digest, :issued_at, :expires_at, :version)"
)
_REVOKE = (
    "UPDATE tokens SET revoked_at = :revoked_at, changed_in = :version "
    "WHERE token_id = :token_id AND revoked_at IS NULL"
)
_EXPIRE = (
    "UPDATE tokens SET expires_at = :expires_at, lifetime_seconds = :lifetime_seconds, changed_in = :version "
    "WHERE token_id = :token_id"
)
_OWE = "INSERT INTO owed_events (request_id, version, event) VALUES (:request_id, :version, :event)"


class Transaction(Reading):
    """
    A reading that also writes. Nothing is seen by others, or durable, before the store's `transaction()` has ended.

    Raising the version is its first statement, so that it holds the one row that all writers need, and transactions
    come one after another on any database. Within it `version` is that after the change, and the rows of callers and
    tokens that it writes bear it as `changed_in`.
    """

    def __init__(self, connection: sqlite3.Connection, *, raises_version: bool = True) -> None:
        super().__init__(connection)
        if raises_version:
            connection.execute("UPDATE meta SET version = version + 1")

    def add_upstream(self, upstream: Upstream) -> None:
        """
        Add an upstream.
        """
        self._connection.execute(_ADD_UPSTREAM, _upstream_values(upstream))

    def set_upstream(self, upstream: Upstream) -> None:
        """
        Put these values in the place of those of the upstream of that name.
        """
        self._connection.execute(_SET_UPSTREAM, _upstream_values(upstream))

    def remove_upstream(self, name: str) -> None:
        """
        Remove an upstream that no credential names.
        """
        self._connection.execute("DELETE FROM upstreams WHERE name = :name", {"name": name})

    def add_credential(self, credential: Credential, fingerprint: bytes) -> None:
        """
        Add a credential with its sealed key.
        """
        values = {
            "credential_id": credential.credential_id,
            "name": credential.name,
            "upstream_name": credential.upstream.name,
            "kind": credential.kind.value,
            "owner": credential.owner,
            "sealed": credential.sealed,
            "fingerprint": fingerprint,
        }
        self._connection.execute(_ADD_CREDENTIAL, values)

    def set_key(self, credential_id: str, sealed: bytes | None, fingerprint: bytes | None) -> None:
        """
        Replace a credential's sealed key and its fingerprint; None twice takes both away.
        """
        values = {"credential_id": credential_id, "sealed": sealed, "fingerprint": fingerprint}
        self._connection.execute(_SET_KEY, values)

    def set_seal(self, credential_id: str, sealed: bytes) -> None:
        """
        Put another seal of the same key in the place of a credential's.
        """
        self._connection.execute(_SET_SEAL, {"credential_id": credential_id, "sealed": sealed})

    def prune_removed_credentials(self) -> None:
        """
        Remove the credentials without a key that no grant names any more.
        """
        self._connection.execute(_PRUNE)

    def add_caller(self, caller: CallerRow) -> None:
        """
        Add a caller.
        """
        self._connection.execute(_ADD_CALLER, {**_caller_values(caller), "version": self.version})

    def set_caller(self, caller: CallerRow) -> None:
        """
        Put these values in the place of those of the caller of that name.
        """
        self._connection.execute(_SET_CALLER, {**_caller_values(caller), "version": self.version})

    def remove_caller(self, name: str) -> None:
        """
        Remove a caller, its tokens and its grants.
        """
        for statement in (
            "DELETE FROM tokens WHERE caller_name = :name",
            "DELETE FROM grants WHERE caller_name = :name",
            "DELETE FROM callers WHERE name = :name",
        ):
            self._connection.execute(statement, {"name": name})

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
        values = {
            "grant_id": grant_id,
            "caller_name": caller_name,
            "credential_id": credential_id,
            "operations": json.dumps(list(operations)),
            "rules": json.dumps([list(rule) for rule in rules]),
            "allow_unique_ids": allow_unique_ids,
        }
        self._connection.execute(_ADD_GRANT, values)

    def remove_grant(self, grant_id: str) -> None:
        """
        Remove a grant.
        """
        self._connection.execute("DELETE FROM grants WHERE grant_id = :grant_id", {"grant_id": grant_id})

    def add_token(self, token: TokenRow, digest: bytes) -> None:
        """
        Add a token with the SHA-256 of its text.
        """
        values = {
            "token_id": token.token_id,
            "caller_name": token.caller_name,
            "digest": digest,
            "issued_at": render_instant(token.issued_at),
            "expires_at": render_instant(token.expires_at) if token.expires_at else None,
            "version": self.version,
        }
        self._connection.execute(_ISSUE, values)

    def revoke_token(self, token_id: str, revoked_at: datetime) -> None:
        """
        End a token; one that was revoked before keeps its instant.
        """
        values = {"token_id": token_id, "revoked_at": render_instant(revoked_at), "version": self.version}
        self._connection.execute(_REVOKE, values)

    def expire_token(self, token_id: str, expires_at: datetime, *, lifetime: timedelta | None) -> None:
        """
        Let a token end at an instant, and keep what it was made for (None: no end), which a later rotation asks.
        """
        values = {
            "token_id": token_id,
            "expires_at": render_instant(expires_at),
            "lifetime_seconds": round(lifetime.total_seconds()) if lifetime is not None else 0,
            "version": self.version,
        }
        self._connection.execute(_EXPIRE, values)

    def add_owed_event(self, owed: OwedEvent) -> None:
        """
        Keep an event for the journal, which cannot be written now.
        """
        values = {"request_id": owed.request_id, "version": owed.version, "event": owed.event}
        self._connection.execute(_OWE, values)

    def remove_owed_event(self, request_id: str) -> None:
        """
        Forget an event that the journal has got.
        """
        self._connection.execute("DELETE FROM owed_events WHERE request_id = :request_id", {"request_id": request_id})


def _upstream_values(upstream: Upstream) -> dict[str, object]:
    return {
        "name": upstream.name,
        "host": upstream.host,
        "port": upstream.port,
        "prefix": upstream.prefix,
        "auth": upstream.auth.value,
        "ca_pem": upstream.ca_pem,
        "proxy": upstream.proxy.url if upstream.proxy is not None else None,
        "proxy_sealed": upstream.proxy.sealed if upstream.proxy is not None else None,
        "pins": json.dumps(list(upstream.pins)),
        "allow_old_tls": upstream.allow_old_tls,
    }


def _caller_values(caller: CallerRow) -> dict[str, object]:
    return {
        "name": caller.name,
        "networks": json.dumps(list(caller.networks)),
        "query_token_allowed": caller.query_token_allowed,
        "is_enabled": caller.is_enabled,
        "rate_per_second": caller.rate_per_second,
        "burst": caller.burst,
        "concurrency": caller.concurrency,
    }
