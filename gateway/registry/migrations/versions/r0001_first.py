"""
The first tables, and the registry's version 1.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """
    Make the tables of the first release.
    """
    meta = op.create_table(
        "meta",
        sa.Column("row", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("row", name="pk_meta"),
    )
    op.bulk_insert(meta, [{"row": 1, "version": 1}])
    op.create_table(
        "upstreams",
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("auth", sa.String(16), nullable=False),
        sa.Column("ca_pem", sa.Text()),
        sa.PrimaryKeyConstraint("name", name="pk_upstreams"),
    )
    op.create_table(
        "credentials",
        sa.Column("credential_id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("upstream_name", sa.String(63), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(128)),
        sa.Column("sealed", sa.LargeBinary()),
        sa.Column("fingerprint", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("credential_id", name="pk_credentials"),
        sa.UniqueConstraint("name", name="uq_credentials_name"),
        sa.ForeignKeyConstraint(["upstream_name"], ["upstreams.name"], name="fk_credentials_upstream_name"),
    )
    op.create_table(
        "callers",
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("networks", sa.Text(), nullable=False),
        sa.Column("query_token_allowed", sa.Boolean(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_callers"),
    )
    _create_what_belongs_to_callers()
    op.create_table(
        "owed_events",
        sa.Column("request_id", sa.String(36), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_owed_events"),
    )


def _create_what_belongs_to_callers() -> None:
    op.create_table(
        "tokens",
        sa.Column("token_id", sa.String(12), nullable=False),
        sa.Column("caller_name", sa.String(63), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("issued_at", sa.String(27), nullable=False),
        sa.Column("expires_at", sa.String(27)),
        sa.Column("revoked_at", sa.String(27)),
        sa.PrimaryKeyConstraint("token_id", name="pk_tokens"),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
        sa.ForeignKeyConstraint(["caller_name"], ["callers.name"], name="fk_tokens_caller_name"),
    )
    op.create_index("ix_tokens_caller_name", "tokens", ["caller_name"])
    op.create_table(
        "grants",
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("grant_id", sa.String(32), nullable=False),
        sa.Column("caller_name", sa.String(63), nullable=False),
        sa.Column("credential_id", sa.String(32), nullable=False),
        sa.Column("operations", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_grants"),
        sa.UniqueConstraint("grant_id", name="uq_grants_grant_id"),
        sa.ForeignKeyConstraint(["caller_name"], ["callers.name"], name="fk_grants_caller_name"),
        sa.ForeignKeyConstraint(["credential_id"], ["credentials.credential_id"], name="fk_grants_credential_id"),
    )
    op.create_index("ix_grants_caller_name", "grants", ["caller_name"])
    op.create_index("ix_grants_credential_id", "grants", ["credential_id"])
