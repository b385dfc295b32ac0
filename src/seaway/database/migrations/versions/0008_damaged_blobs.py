"""Blobs that a row names and that are damaged or missing."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "damaged_blobs",
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.Column("problem", sa.String(8), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_damaged_blobs"),
    )
