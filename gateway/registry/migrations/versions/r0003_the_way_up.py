"""
The way to an upstream: a proxy before it and its sealed password, pins, and whether old TLS is taken.

Every new column has a default that means what earlier releases did: no proxy, no pin, TLS 1.2 or newer.
"""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COLUMNS = ("proxy", "proxy_sealed", "pins", "allow_old_tls")


def upgrade() -> None:
    """
    Add the columns; rows stay as they are.
    """
    op.add_column("upstreams", sa.Column("proxy", sa.Text()))
    op.add_column("upstreams", sa.Column("proxy_sealed", sa.LargeBinary()))
    op.add_column("upstreams", sa.Column("pins", sa.Text(), nullable=False, server_default="[]"))
    op.add_column("upstreams", sa.Column("allow_old_tls", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """
    Take them away again.
    """
    for column in reversed(_COLUMNS):
        op.drop_column("upstreams", column)


def find_losses(connection: sa.Connection, now: datetime) -> list[str]:
    """
    What the release before cannot hold. An upstream that lost its pins would be trusted by its certificate alone.
    """
    del now

    def find(condition: str) -> str:
        statement = f"SELECT name FROM upstreams WHERE {condition} ORDER BY name"  # noqa: S608 - of words that stand here
        return ", ".join(connection.execute(sa.text(statement)).scalars())

    losses = []
    if names := find("proxy IS NOT NULL"):
        losses.append(f"the proxies of the upstreams {names} (`upstream set NAME --proxy none`)")
    if names := find("pins <> '[]'"):
        losses.append(f"the pins of the upstreams {names} (`upstream set NAME --pin none --no-allow-old-tls`)")
    return losses
