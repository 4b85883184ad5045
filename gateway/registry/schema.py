"""
The tables as SQLAlchemy sees them. The migrations make them; a test compares the two.

Nothing is SQLite-only: several nodes will share a PostgreSQL. Instants are the 27 characters of `render_instant`, which
sort as they should and can be read by a person; lists are JSON text.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
)

__all__ = ["callers", "credentials", "grants", "meta", "metadata", "owed_events", "tokens", "upstreams"]

_NAME = String(63)
_INSTANT = String(27)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

meta = Table(
    "meta",
    metadata,
    Column("row", Integer, primary_key=True, autoincrement=False),  # 1: there is one row
    Column("version", BigInteger, nullable=False),
)

upstreams = Table(
    "upstreams",
    metadata,
    Column("name", _NAME, primary_key=True),
    Column("host", String(255), nullable=False),
    Column("port", Integer, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("auth", String(16), nullable=False),
    Column("ca_pem", Text),
    Column("proxy", Text),  # http://[user@]host:port
    Column("proxy_sealed", LargeBinary),  # the password of the proxy's user
    Column("pins", Text, nullable=False, server_default="[]"),
    Column("allow_old_tls", Boolean, nullable=False, server_default=false()),
)

credentials = Table(
    "credentials",
    metadata,
    Column("credential_id", String(32), primary_key=True),
    Column("name", _NAME, nullable=False, unique=True),
    Column("upstream_name", _NAME, ForeignKey("upstreams.name"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("owner", String(128)),
    Column("sealed", LargeBinary),  # null: the credential was removed while grants still name it
    Column("fingerprint", LargeBinary),
)

callers = Table(
    "callers",
    metadata,
    Column("name", _NAME, primary_key=True),
    Column("networks", Text, nullable=False),
    Column("query_token_allowed", Boolean, nullable=False),
    Column("is_enabled", Boolean, nullable=False),
    Column("rate_per_second", Float),  # null, as for the next two: the default limit
    Column("burst", Integer),
    Column("concurrency", Integer),
    Column("changed_in", BigInteger, nullable=False, server_default="0"),  # the version that last changed the row
    Index(None, "changed_in"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("token_id", String(12), primary_key=True),
    Column("caller_name", _NAME, ForeignKey("callers.name"), nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("issued_at", _INSTANT, nullable=False),
    Column("expires_at", _INSTANT),
    Column("revoked_at", _INSTANT),
    Column("lifetime_seconds", BigInteger),  # set when a rotation shortened it: what it was made for, 0 for no end
    Column("changed_in", BigInteger, nullable=False, server_default="0"),  # the version that last changed the row
    Index(None, "caller_name"),
    Index(None, "changed_in"),
)

grants = Table(
    "grants",
    metadata,
    Column("sequence", Integer, primary_key=True),  # rises: of the grants that pass, the oldest serves
    Column("grant_id", String(32), nullable=False, unique=True),
    Column("caller_name", _NAME, ForeignKey("callers.name"), nullable=False),
    Column("credential_id", String(32), ForeignKey("credentials.credential_id"), nullable=False),
    Column("operations", Text, nullable=False),
    Column("rules", Text, nullable=False, server_default="[]"),  # [[parameter, rule as the operator wrote it], ...]
    Column("allow_unique_ids", Boolean, nullable=False, server_default=false()),
    Index(None, "caller_name"),
    Index(None, "credential_id"),
)

owed_events = Table(
    "owed_events",
    metadata,
    Column("request_id", String(36), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("event", Text, nullable=False),
)
