"""Trusted publishing: issuers and their keys, publishers, tokens that were exchanged, tokens that were given for them;
attestations, and the record of uploads."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def _name(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def _id() -> sa.BigInteger:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("channels", sa.Column("only_publishers", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("channels", sa.Column("attestations", sa.String(length=8), nullable=False, server_default="optional"))
    _make_issuers()
    _make_publishers()
    _make_tokens()
    _make_uploads()
    _make_attestations()


def _make_issuers() -> None:
    op.create_table(
        "issuers",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("name", _name(40), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("issuer", _name(500), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("static_keys", sa.Text(), nullable=True),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_issuers")),
        sa.UniqueConstraint("name", name=op.f("uq_issuers_name")),
        sa.UniqueConstraint("issuer", name=op.f("uq_issuers_issuer")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "issuer_keys",
        sa.Column("issuer", _name(500), nullable=False),
        sa.Column("keys", sa.Text(), nullable=False),
        sa.Column("fetched_at", sa.BigInteger(), nullable=False),
        sa.Column("tried_at", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("issuer", name=op.f("pk_issuer_keys")),
    )


def _make_publishers() -> None:
    op.create_table(
        "publishers",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("channel_id", _id(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("issuer", _name(500), nullable=False),
        sa.Column("matched", sa.Text(), nullable=False),
        sa.Column("identity", sa.LargeBinary(length=32), nullable=False),
        sa.Column("subject", sa.LargeBinary(length=32), nullable=False),
        sa.Column("pins", sa.Text(), nullable=False),
        sa.Column("gates", sa.Text(), nullable=False),
        sa.Column("mode", sa.String(length=24), nullable=False),
        sa.Column("patterns", sa.Text(), nullable=False),
        sa.Column("exchanges", sa.Integer(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("created_by", _id(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.Column("hinted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channels.id"], name=op.f("fk_publishers_channel_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name=op.f("fk_publishers_created_by"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_publishers")),
        sa.UniqueConstraint("channel_id", "identity", name=op.f("uq_publishers_channel_id_identity")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_publishers_subject", "publishers", ["subject"])
    op.create_index("ix_publishers_issuer", "publishers", ["issuer"])


def _make_tokens() -> None:
    op.create_table(
        "used_tokens",
        sa.Column("issuer", _name(500), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("issuer", "digest", name=op.f("pk_used_tokens")),
    )
    op.create_index("ix_used_tokens_expires_at", "used_tokens", ["expires_at"])
    op.create_table(
        "workflow_tokens",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("issuer", _name(500), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_workflow_tokens_digest")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_workflow_tokens_expires_at", "workflow_tokens", ["expires_at"])
    op.create_table(
        "token_publishers",
        sa.Column("token_id", _id(), nullable=False),
        sa.Column("publisher_id", _id(), nullable=False),
        sa.ForeignKeyConstraint(
            ["token_id"], ["workflow_tokens.id"], name=op.f("fk_token_publishers_token_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["publisher_id"], ["publishers.id"], name=op.f("fk_token_publishers_publisher_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_id", "publisher_id", name=op.f("pk_token_publishers")),
    )
    op.create_index("ix_token_publishers_publisher_id", "token_publishers", ["publisher_id"])


def _make_uploads() -> None:
    op.create_table(
        "uploads",
        sa.Column("channel_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("channel", _name(128), nullable=False),
        sa.Column("subdir", _name(32), nullable=False),
        sa.Column("file_name", _name(211), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("replaced_sha256", sa.LargeBinary(length=32), nullable=True),
        sa.Column("attestations_sha256", sa.LargeBinary(length=32), nullable=True),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=True),
        sa.Column("key_id", sa.BigInteger(), nullable=True),
        sa.Column("publisher_id", sa.BigInteger(), nullable=True),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("commit", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("channel_id", "number", name=op.f("pk_uploads")),
    )
    op.create_index("ix_uploads_file", "uploads", ["channel_id", "subdir", "file_name"])
    op.create_index("ix_uploads_channel", "uploads", ["channel"])
    op.create_table(
        "upload_chains",
        sa.Column("channel_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("head", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("channel_id", name=op.f("pk_upload_chains")),
    )


def _make_attestations() -> None:
    op.create_table(
        "attestations",
        sa.Column("subdir_id", _id(), nullable=False),
        sa.Column("file_name", _name(211), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("file_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("claims", sa.Text(), nullable=False),
        sa.Column("accepted_at", sa.BigInteger(), nullable=False),
        sa.Column("superseded_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["subdir_id"], ["subdirs.id"], name=op.f("fk_attestations_subdir_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("subdir_id", "file_name", "sha256", name=op.f("pk_attestations")),
    )
