"""
Marks of manifests, blobs that a rebuild kept, damaged blobs, checksums of fragments, revisions that were served;
reasons of yanks; corrections of records; names that differ in case; whether files may be overwritten and v3 records
come in; what a channel says of itself in its index.
"""

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
    op.add_column("channels", sa.Column("allows_v3", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("channels", sa.Column("v3_message", sa.Text(), nullable=False, server_default=""))
    op.add_column("channels", sa.Column("base", sa.String(128), nullable=False, server_default=""))
    op.add_column("channels", sa.Column("overrides", sa.String(128), nullable=False, server_default=""))
    op.add_column("files", sa.Column("yank_reason", sa.Text(), nullable=False, server_default=""))
    op.add_column("files", sa.Column("correction", sa.LargeBinary(), nullable=True))
    op.add_column("shards", sa.Column("checksum", sa.BigInteger(), nullable=True))
    op.add_column("subdirs", sa.Column("served_revision", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute("UPDATE subdirs SET served_revision = revision")  # it is not known which of them were served
