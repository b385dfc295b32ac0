"""Checksums of fragments, so that a damaged one is not spliced into the next."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("shards", sa.Column("checksum", sa.BigInteger(), nullable=True))
