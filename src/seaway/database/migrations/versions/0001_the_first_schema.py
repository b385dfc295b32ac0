"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _name(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def _id() -> sa.BigInteger:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.BigInteger()),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("package", sa.Text()),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_action", "audit", ["action", "id"])
    op.create_index("ix_audit_channel_action", "audit", ["channel", "action", "id"])
    op.create_index("ix_audit_channel_id", "audit", ["channel", "id"])
    op.create_index(
        "ix_audit_channel_package",
        "audit",
        ["channel", "package", "id"],
        sqlite_where=sa.text("package IS NOT NULL"),
        postgresql_where=sa.text("package IS NOT NULL"),
    )
    op.create_index("ix_audit_channel_person", "audit", ["channel", "person", "id"])
    op.create_index(
        "ix_audit_package",
        "audit",
        ["package", "id"],
        sqlite_where=sa.text("package IS NOT NULL"),
        postgresql_where=sa.text("package IS NOT NULL"),
    )
    op.create_index("ix_audit_person", "audit", ["person", "id"])
    op.create_table(
        "buckets",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("level", sa.Float(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("empty_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_buckets")),
    )
    op.create_index("ix_buckets_empty_at", "buckets", ["empty_at"])
    op.create_table(
        "channels",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("name", _name(128), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("folded_description", sa.Text(), server_default="", nullable=False),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("refuses_lookalikes", sa.Boolean(), nullable=False),
        sa.Column("allows_overwrite", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("allows_v3", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("v3_message", sa.Text(), server_default="", nullable=False),
        sa.Column("base", sa.String(length=128), server_default="", nullable=False),
        sa.Column("overrides", sa.String(length=128), server_default="", nullable=False),
        sa.Column("quota_bytes", sa.BigInteger()),
        sa.Column("only_publishers", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("attestations", sa.String(length=8), server_default="optional", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_channels")),
        sa.UniqueConstraint("name", name=op.f("uq_channels_name")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_channels_quota",
        "channels",
        ["name"],
        sqlite_where=sa.text("quota_bytes IS NOT NULL"),
        postgresql_where=sa.text("quota_bytes IS NOT NULL"),
    )
    op.create_table(
        "damaged_blobs",
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("found_at", sa.BigInteger(), nullable=False),
        sa.Column("problem", sa.String(length=8), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_damaged_blobs")),
    )
    op.create_table(
        "groups",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("name", _name(39), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_groups")),
        sa.UniqueConstraint("name", name=op.f("uq_groups_name")),
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
    op.create_table(
        "issuers",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("name", _name(40), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("issuer", _name(500), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("rules", sa.Text(), nullable=False),
        sa.Column("static_keys", sa.Text()),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_issuers")),
        sa.UniqueConstraint("issuer", name=op.f("uq_issuers_issuer")),
        sa.UniqueConstraint("name", name=op.f("uq_issuers_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "jobs",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("dedup_key", sa.Text()),
        sa.Column("args", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("run_at", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text()),
        sa.Column("lease_until", sa.BigInteger()),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_due", "jobs", ["state", "run_at"])
    op.create_index("ix_jobs_state_kind", "jobs", ["state", "kind", "id"])
    op.create_index(
        "uq_jobs_ready",
        "jobs",
        ["dedup_key"],
        unique=True,
        sqlite_where=sa.text("state = 'ready'"),
        postgresql_where=sa.text("state = 'ready'"),
    )
    op.create_table(
        "kept_blobs",
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_kept_blobs")),
    )
    op.create_table(
        "manifest_marks",
        sa.Column("store_id", sa.String(length=32), nullable=False),
        sa.Column("channel_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("subdir_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32)),
        sa.PrimaryKeyConstraint("store_id", "channel_id", "subdir_id", name=op.f("pk_manifest_marks")),
    )
    op.create_table(
        "released_user_names",
        sa.Column("name", _name(39), nullable=False),
        sa.Column("released_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_released_user_names")),
    )
    op.create_table(
        "schedules",
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_schedules")),
    )
    op.create_table(
        "site_values",
        sa.Column("name", _name(40), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_site_values")),
    )
    op.create_table(
        "upload_chains",
        sa.Column("channel_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("head", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("channel_id", name=op.f("pk_upload_chains")),
    )
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
        sa.Column("replaced_sha256", sa.LargeBinary(length=32)),
        sa.Column("attestations_sha256", sa.LargeBinary(length=32)),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("user_id", sa.BigInteger()),
        sa.Column("key_id", sa.BigInteger()),
        sa.Column("publisher_id", sa.BigInteger()),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("commit", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("channel_id", "number", name=op.f("pk_uploads")),
    )
    op.create_index("ix_uploads_channel", "uploads", ["channel"])
    op.create_index("ix_uploads_file", "uploads", ["channel_id", "subdir", "file_name"])
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
        "users",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("name", _name(39), nullable=False),
        sa.Column("display_name", sa.Text(), server_default="", nullable=False),
        sa.Column("folded_display_name", sa.Text(), server_default="", nullable=False),
        sa.Column("password_hash", sa.Text()),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger()),
        sa.Column("second_factor_ends_at", sa.BigInteger()),
        sa.Column("quota_bytes", sa.BigInteger()),
        sa.Column("signed_in_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_users_created_at", "users", ["created_at", "id"])
    op.create_index("ix_users_signed_in_at", "users", ["signed_in_at", "id"])
    op.create_index(
        "ix_users_admin",
        "users",
        ["name"],
        sqlite_where=sa.text("is_admin = 1"),
        postgresql_where=sa.text("is_admin"),
    )
    op.create_index(
        "ix_users_disabled",
        "users",
        ["name"],
        sqlite_where=sa.text("disabled_at IS NOT NULL"),
        postgresql_where=sa.text("disabled_at IS NOT NULL"),
    )
    op.create_index(
        "ix_users_second_factor_ends_at",
        "users",
        ["second_factor_ends_at"],
        sqlite_where=sa.text("second_factor_ends_at IS NOT NULL"),
        postgresql_where=sa.text("second_factor_ends_at IS NOT NULL"),
    )
    op.create_table(
        "workflow_tokens",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("issuer", _name(500), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_workflow_tokens_digest")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_workflow_tokens_expires_at", "workflow_tokens", ["expires_at"])
    op.create_table(
        "channel_groups",
        sa.Column("channel_id", _id(), nullable=False),
        sa.Column("group_id", _id(), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channels.id"], name=op.f("fk_channel_groups_channel_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["group_id"], ["groups.id"], name=op.f("fk_channel_groups_group_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("channel_id", "group_id", name=op.f("pk_channel_groups")),
    )
    op.create_index("ix_channel_groups_group_id", "channel_groups", ["group_id"])
    op.create_table(
        "cli_devices",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("user_code", sa.LargeBinary(length=32), nullable=False),
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("user_id", _id()),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("interval_ms", sa.BigInteger(), nullable=False),
        sa.Column("polled_at", sa.BigInteger()),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_cli_devices_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_cli_devices")),
        sa.UniqueConstraint("user_code", name=op.f("uq_cli_devices_user_code")),
    )
    op.create_index("ix_cli_devices_expires_at", "cli_devices", ["expires_at"])
    op.create_table(
        "cli_grants",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("mode", sa.String(length=24), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_cli_grants_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cli_grants")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_cli_grants_user_id", "cli_grants", ["user_id"])
    op.create_table(
        "emails",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("folded", _name(254), nullable=False),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("verified_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_emails_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_emails")),
        sa.UniqueConstraint("user_id", "folded", name=op.f("uq_emails_user_id_folded")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_emails_verified",
        "emails",
        ["folded"],
        unique=True,
        sqlite_where=sa.text("verified_at IS NOT NULL"),
        postgresql_where=sa.text("verified_at IS NOT NULL"),
    )
    op.create_index(
        "ix_emails_unverified",
        "emails",
        ["user_id"],
        sqlite_where=sa.text("verified_at IS NULL"),
        postgresql_where=sa.text("verified_at IS NULL"),
    )
    op.create_table(
        "group_members",
        sa.Column("group_id", _id(), nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("is_manager", sa.Boolean(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["groups.id"], name=op.f("fk_group_members_group_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_group_members_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("group_id", "user_id", name=op.f("pk_group_members")),
    )
    op.create_index("ix_group_members_user_id", "group_members", ["user_id"])
    op.create_table(
        "identities",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_identities_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identities")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_identities_issuer_subject")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_identities_user_id", "identities", ["user_id"])
    op.create_table(
        "invitations",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("channel_id", _id(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("folded", _name(254), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("invited_by", _id()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channels.id"], name=op.f("fk_invitations_channel_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["invited_by"], ["users.id"], name=op.f("fk_invitations_invited_by"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
        sa.UniqueConstraint("channel_id", "folded", name=op.f("uq_invitations_channel_id_folded")),
        sa.UniqueConstraint("digest", name=op.f("uq_invitations_digest")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_invitations_folded", "invitations", ["folded"])
    op.create_table(
        "keys",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("name", _name(100), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("mode", sa.String(length=24), nullable=False),
        sa.Column("all_channels", sa.Boolean(), nullable=False),
        sa.Column("patterns", sa.Text(), server_default="[]", nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.Column("used_at", sa.BigInteger()),
        sa.Column("used_from", sa.Text(), server_default="", nullable=False),
        sa.Column("warned_days", sa.Integer()),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_keys_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_keys_digest")),
        sa.UniqueConstraint("user_id", "name", name=op.f("uq_keys_user_id_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "logos",
        sa.Column("channel_id", _id(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["channel_id"], ["channels.id"], name=op.f("fk_logos_channel_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("channel_id", name=op.f("pk_logos")),
    )
    op.create_index("ix_logos_sha256", "logos", ["sha256"])
    op.create_table(
        "mailed_links",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("purpose", sa.String(length=24), nullable=False),
        sa.Column("user_id", _id()),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_mailed_links_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_mailed_links")),
    )
    op.create_index("ix_mailed_links_expires_at", "mailed_links", ["expires_at"])
    op.create_index("ix_mailed_links_user_id", "mailed_links", ["user_id"])
    op.create_table(
        "members",
        sa.Column("channel_id", _id(), nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channels.id"], name=op.f("fk_members_channel_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_members_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("channel_id", "user_id", name=op.f("pk_members")),
    )
    op.create_index("ix_members_user_id", "members", ["user_id"])
    op.create_index(
        "uq_members_owner",
        "members",
        ["channel_id"],
        unique=True,
        sqlite_where=sa.text("role = 'owner'"),
        postgresql_where=sa.text("role = 'owner'"),
    )
    op.create_table(
        "notices",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("channel_id", _id(), nullable=False),
        sa.Column("level", sa.String(length=8), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channels.id"], name=op.f("fk_notices_channel_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_notices_channel_id", "notices", ["channel_id"])
    op.create_table(
        "packages",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("channel_id", _id(), nullable=False),
        sa.Column("name", _name(64), nullable=False),
        sa.Column("folded_name", _name(64), nullable=False),
        sa.Column("newest_file_id", sa.BigInteger()),
        sa.Column("summary", sa.Text(), server_default="", nullable=False),
        sa.Column("search_text", sa.Text(), server_default="", nullable=False),
        sa.Column("license", sa.Text(), server_default="", nullable=False),
        sa.Column("updated_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channels.id"], name=op.f("fk_packages_channel_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_packages")),
        sa.UniqueConstraint("channel_id", "name", name=op.f("uq_packages_channel_id_name")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_packages_channel_id_folded_name", "packages", ["channel_id", "folded_name"])
    op.create_index("ix_packages_channel_id_license", "packages", ["channel_id", "license"])
    op.create_index("ix_packages_channel_id_updated_at", "packages", ["channel_id", "updated_at"])
    op.create_table(
        "passkeys",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("credential_id", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("transports", sa.Text(), nullable=False),
        sa.Column("name", _name(100), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_passkeys_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_passkeys")),
        sa.UniqueConstraint("credential_id", name=op.f("uq_passkeys_credential_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_passkeys_user_id", "passkeys", ["user_id"])
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
        sa.Column("created_by", _id()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger()),
        sa.Column("hinted_at", sa.BigInteger()),
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
    op.create_index("ix_publishers_issuer", "publishers", ["issuer"])
    op.create_index("ix_publishers_subject", "publishers", ["subject"])
    op.create_table(
        "recovery_codes",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("used_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_recovery_codes_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_codes")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_recovery_codes_user_id", "recovery_codes", ["user_id"])
    op.create_table(
        "released_names",
        sa.Column("name", _name(128), nullable=False),
        sa.Column("owner_id", _id()),
        sa.Column("released_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_released_names_owner_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_released_names")),
    )
    op.create_table(
        "resumable_uploads",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("channel_id", _id(), nullable=False),
        sa.Column("file_name", _name(211), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64)),
        sa.Column("force", sa.Boolean(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("published", sa.Text()),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channels.id"], name=op.f("fk_resumable_uploads_channel_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_resumable_uploads_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_resumable_uploads")),
    )
    op.create_index("ix_resumable_uploads_channel_id", "resumable_uploads", ["channel_id"])
    op.create_index("ix_resumable_uploads_expires_at", "resumable_uploads", ["expires_at"])
    op.create_index("ix_resumable_uploads_user_id", "resumable_uploads", ["user_id"])
    op.create_table(
        "sessions",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("digest", name=op.f("uq_sessions_digest")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_table(
        "sign_ins",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("user_id", _id()),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sign_ins_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_sign_ins")),
    )
    op.create_index("ix_sign_ins_expires_at", "sign_ins", ["expires_at"])
    op.create_table(
        "subdirs",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("channel_id", _id(), nullable=False),
        sa.Column("name", _name(32), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("record_count", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("served_revision", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channels.id"], name=op.f("fk_subdirs_channel_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subdirs")),
        sa.UniqueConstraint("channel_id", "name", name=op.f("uq_subdirs_channel_id_name")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_subdirs_changed_at", "subdirs", ["changed_at", "id"])
    op.create_table(
        "totp",
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("seed", sa.LargeBinary(), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger()),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_totp_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_totp")),
    )
    op.create_table(
        "transfers",
        sa.Column("channel_id", _id(), nullable=False),
        sa.Column("to_user_id", _id(), nullable=False),
        sa.Column("offered_by", _id(), nullable=False),
        sa.Column("offered_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channels.id"], name=op.f("fk_transfers_channel_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["offered_by"], ["users.id"], name=op.f("fk_transfers_offered_by"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["to_user_id"], ["users.id"], name=op.f("fk_transfers_to_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("channel_id", name=op.f("pk_transfers")),
    )
    op.create_index("ix_transfers_to_user_id", "transfers", ["to_user_id"])
    op.create_table(
        "attestations",
        sa.Column("subdir_id", _id(), nullable=False),
        sa.Column("file_name", _name(211), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("file_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("claims", sa.Text(), nullable=False),
        sa.Column("accepted_at", sa.BigInteger(), nullable=False),
        sa.Column("superseded_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["subdir_id"], ["subdirs.id"], name=op.f("fk_attestations_subdir_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("subdir_id", "file_name", "sha256", name=op.f("pk_attestations")),
    )
    op.create_table(
        "cli_codes",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("redirect_uri", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("challenge", sa.Text(), nullable=False),
        sa.Column("nonce", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("grant_id", _id()),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["cli_grants.id"], name=op.f("fk_cli_codes_grant_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_cli_codes_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_cli_codes")),
    )
    op.create_index("ix_cli_codes_expires_at", "cli_codes", ["expires_at"])
    op.create_table(
        "cli_tokens",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("grant_id", _id(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("replaced_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["cli_grants.id"], name=op.f("fk_cli_tokens_grant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_cli_tokens")),
    )
    op.create_index("ix_cli_tokens_expires_at", "cli_tokens", ["expires_at"])
    op.create_index("ix_cli_tokens_grant_id", "cli_tokens", ["grant_id"])
    op.create_table(
        "documents",
        sa.Column("subdir_id", _id(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["subdir_id"], ["subdirs.id"], name=op.f("fk_documents_subdir_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("subdir_id", "kind", name=op.f("pk_documents")),
    )
    op.create_index("ix_documents_sha256", "documents", ["sha256"])
    op.create_table(
        "files",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("subdir_id", _id(), nullable=False),
        sa.Column("package_id", _id(), nullable=False),
        sa.Column("file_name", _name(211), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("yank_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("yank_id", sa.BigInteger()),
        sa.Column("earlier_yank_id", sa.BigInteger()),
        sa.Column("earlier_yank_reason", sa.Text()),
        sa.Column("section", sa.String(length=16), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("indexed_at", sa.BigInteger(), nullable=False),
        sa.Column("uploaded_by", _id()),
        sa.Column("uploaded_as", sa.Text(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("about", sa.LargeBinary(), nullable=False),
        sa.Column("correction", sa.LargeBinary()),
        sa.ForeignKeyConstraint(["package_id"], ["packages.id"], name=op.f("fk_files_package_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["subdir_id"], ["subdirs.id"], name=op.f("fk_files_subdir_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["uploaded_by"], ["users.id"], name=op.f("fk_files_uploaded_by"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
        sa.UniqueConstraint("subdir_id", "file_name", name=op.f("uq_files_subdir_id_file_name")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_files_subdir_id_lower_file_name", "files", ["subdir_id", sa.text("lower(file_name)")])
    op.create_index("ix_files_sha256", "files", ["sha256"])
    op.create_index("ix_files_subdir_id_package_id", "files", ["subdir_id", "package_id", "state", "size"])
    op.create_index(
        "ix_files_yank_id",
        "files",
        ["yank_id"],
        sqlite_where=sa.text("yank_id IS NOT NULL"),
        postgresql_where=sa.text("yank_id IS NOT NULL"),
    )
    op.create_table(
        "fragments",
        sa.Column("subdir_id", _id(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("name", _name(64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["subdir_id"], ["subdirs.id"], name=op.f("fk_fragments_subdir_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("subdir_id", "kind", "name", name=op.f("pk_fragments")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "key_channels",
        sa.Column("key_id", _id(), nullable=False),
        sa.Column("channel_id", _id(), nullable=False),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channels.id"], name=op.f("fk_key_channels_channel_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name=op.f("fk_key_channels_key_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key_id", "channel_id", name=op.f("pk_key_channels")),
    )
    op.create_table(
        "resumable_pieces",
        sa.Column("upload_id", sa.String(length=32), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["resumable_uploads.id"], name=op.f("fk_resumable_pieces_upload_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("upload_id", "start", name=op.f("pk_resumable_pieces")),
    )
    op.create_index("ix_resumable_pieces_sha256", "resumable_pieces", ["sha256"])
    op.create_table(
        "retired_shards",
        sa.Column("subdir_id", _id(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subdir_id"], ["subdirs.id"], name=op.f("fk_retired_shards_subdir_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("subdir_id", "sha256", name=op.f("pk_retired_shards")),
    )
    op.create_index("ix_retired_shards_retired_at", "retired_shards", ["retired_at"])
    op.create_table(
        "shards",
        sa.Column("subdir_id", _id(), nullable=False),
        sa.Column("name", _name(64), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32)),
        sa.Column("record_count", sa.Integer(), nullable=False),
        sa.Column("v3_count", sa.Integer(), nullable=False),
        sa.Column("v3_newest", sa.BigInteger(), nullable=False),
        sa.Column("v3_oldest", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary()),
        sa.Column("checksum", sa.BigInteger()),
        sa.ForeignKeyConstraint(["subdir_id"], ["subdirs.id"], name=op.f("fk_shards_subdir_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("subdir_id", "name", name=op.f("pk_shards")),
    )
    op.create_index("ix_shards_changes", "shards", ["subdir_id", "revision", "name", "sha256"])
    op.create_index("ix_shards_content", "shards", ["subdir_id", "sha256"])
    op.create_index(
        "ix_shards_v3",
        "shards",
        ["subdir_id"],
        unique=False,
        sqlite_where=sa.text("v3_count > 0"),
        postgresql_where=sa.text("v3_count > 0"),
    )
    op.create_table(
        "token_publishers",
        sa.Column("token_id", _id(), nullable=False),
        sa.Column("publisher_id", _id(), nullable=False),
        sa.ForeignKeyConstraint(
            ["publisher_id"], ["publishers.id"], name=op.f("fk_token_publishers_publisher_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["token_id"], ["workflow_tokens.id"], name=op.f("fk_token_publishers_token_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_id", "publisher_id", name=op.f("pk_token_publishers")),
    )
    op.create_index("ix_token_publishers_publisher_id", "token_publishers", ["publisher_id"])
    op.create_table(
        "downloads",
        sa.Column("file_id", _id(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("client", sa.String(length=8), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name=op.f("fk_downloads_file_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("file_id", "day", "client", name=op.f("pk_downloads")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "file_downloads",
        sa.Column("file_id", _id(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name=op.f("fk_file_downloads_file_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("file_id", name=op.f("pk_file_downloads")),
    )
    op.create_table(
        "package_downloads",
        sa.Column("package_id", _id(), nullable=False),
        sa.Column("channel_id", _id(), nullable=False),
        sa.Column("recent", sa.BigInteger(), nullable=False),
        sa.Column("recent_day", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channels.id"], name=op.f("fk_package_downloads_channel_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["package_id"], ["packages.id"], name=op.f("fk_package_downloads_package_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("package_id", name=op.f("pk_package_downloads")),
    )
    op.create_index("ix_package_downloads_recent", "package_downloads", ["channel_id", "recent"])
    op.create_table(
        "daily_package_downloads",
        sa.Column("package_id", _id(), nullable=False),
        sa.Column("split", sa.String(length=8), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("key", _name(64), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["package_id"], ["packages.id"], name=op.f("fk_daily_package_downloads_package_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("package_id", "split", "day", "key", name=op.f("pk_daily_package_downloads")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "daily_channel_downloads",
        sa.Column("channel_id", _id(), nullable=False),
        sa.Column("split", sa.String(length=8), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("key", _name(64), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channels.id"], name=op.f("fk_daily_channel_downloads_channel_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("channel_id", "split", "day", "key", name=op.f("pk_daily_channel_downloads")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "daily_storage",
        sa.Column("channel_id", _id(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("packages", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["channel_id"], ["channels.id"], name=op.f("fk_daily_storage_channel_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("channel_id", "day", name=op.f("pk_daily_storage")),
        sqlite_with_rowid=False,
    )
