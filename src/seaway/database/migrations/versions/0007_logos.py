"""Logos of channels: pictures that we keep, in the place of addresses that nobody looked at."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "logos",
        sa.Column("channel_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["channel_id"], ["channels.id"], name="fk_logos_channel_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("channel_id", name="pk_logos"),
    )
    op.create_index("ix_logos_sha256", "logos", ["sha256"])
    op.drop_column("channels", "logo_url")
