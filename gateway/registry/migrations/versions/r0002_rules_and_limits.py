"""
Rules on a grant's parameters, limits of a caller, a rotated token's lifetime, and what last changed a row.

Every new column has a default that means what the first release did: no rule, the default limits, changed long ago.
"""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

from gateway.clock import render_instant

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_RULED_GRANTS = "SELECT grant_id FROM grants WHERE rules <> '[]' ORDER BY sequence"
_LIMITED_CALLERS = (
    "SELECT name FROM callers WHERE rate_per_second IS NOT NULL OR burst IS NOT NULL OR concurrency IS NOT NULL "
    "ORDER BY name"
)
_ROTATED_TOKENS = (
    "SELECT token_id FROM tokens WHERE lifetime_seconds IS NOT NULL AND revoked_at IS NULL AND expires_at > :now "
    "ORDER BY token_id"
)


def upgrade() -> None:
    """
    Add the columns; rows stay as they are.
    """
    op.add_column("grants", sa.Column("rules", sa.Text(), nullable=False, server_default="[]"))
    op.add_column("grants", sa.Column("allow_unique_ids", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("callers", sa.Column("rate_per_second", sa.Float()))
    op.add_column("callers", sa.Column("burst", sa.Integer()))
    op.add_column("callers", sa.Column("concurrency", sa.Integer()))
    op.add_column("tokens", sa.Column("lifetime_seconds", sa.BigInteger()))
    for table in ("callers", "tokens"):
        op.add_column(table, sa.Column("changed_in", sa.BigInteger(), nullable=False, server_default="0"))
        op.create_index(f"ix_{table}_changed_in", table, ["changed_in"])


def downgrade() -> None:
    """
    Take them away again.
    """
    for table in ("callers", "tokens"):
        op.drop_index(f"ix_{table}_changed_in", table)
        op.drop_column(table, "changed_in")
    op.drop_column("tokens", "lifetime_seconds")
    for column in ("rate_per_second", "burst", "concurrency"):
        op.drop_column("callers", column)
    for column in ("rules", "allow_unique_ids"):
        op.drop_column("grants", column)


def find_losses(connection: sa.Connection, now: datetime) -> list[str]:
    """
    What the first release cannot hold. A grant that lost its rules would allow every value.
    """

    def find(statement: str, **values: object) -> str:
        return ", ".join(connection.execute(sa.text(statement), values).scalars())

    losses = []
    if grants := find(_RULED_GRANTS):
        losses.append(f"the rules of the grants {grants}, which would then allow every value (remove these grants)")
    if callers := find(_LIMITED_CALLERS):
        losses.append(f"the limits of the callers {callers} (set them to default)")
    if tokens := find(_ROTATED_TOKENS, now=render_instant(now)):
        losses.append(f"what the rotated tokens {tokens} were made for (wait until they have ended, or revoke them)")
    return losses
