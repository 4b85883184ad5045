"""
Rules on a grant's parameters, limits of a caller, a rotated token's lifetime, and what last changed a row.

Every new column has a default that means what the first release did: no rule, the default limits, changed long ago.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


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
