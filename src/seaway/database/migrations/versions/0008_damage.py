"""What is kept against loss and damage: marks of manifests, blobs that a rebuild kept, damaged blobs, checksums of fragments; reasons of yanks;
whether files of a channel may be overwritten; corrections of records."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "manifest_marks",
        sa.Column("store_id", sa.String(32), nullable=False),
        sa.Column("channel_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("subdir_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(32)),
        sa.PrimaryKeyConstraint("store_id", "channel_id", "subdir_id", name="pk_manifest_marks"),
    )
    op.create_table(
        "kept_blobs",
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_kept_blobs"),
    )
    op.create_table(
        "damaged_blobs",
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.Column("problem", sa.String(8), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_damaged_blobs"),
    )
    op.create_index("ix_resumable_uploads_channel_id", "resumable_uploads", ["channel_id"])
    op.create_index("ix_files_subdir_id_lower_file_name", "files", ["subdir_id", sa.text("lower(file_name)")])
    op.add_column("channels", sa.Column("allows_overwrite", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("files", sa.Column("yank_reason", sa.Text(), nullable=False, server_default=""))
    op.add_column("files", sa.Column("correction", sa.LargeBinary(), nullable=True))
    op.add_column("shards", sa.Column("checksum", sa.BigInteger(), nullable=True))
