"""Accounts of people: addresses, identities, sessions, second factors, groups, invitations, logins of tools; quotas."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def _name(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def _id() -> sa.BigInteger:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _make_tables()
    _add_columns()


def _add_columns() -> None:
    # Column by column: alembic's batch mode makes a table anew on SQLite, and to drop the old one deletes, by
    # ON DELETE CASCADE, all that belongs to its rows.
    op.create_index("ix_audit_actor_id", "audit", ["actor_id", "id"])
    op.add_column("channels", sa.Column("quota_bytes", sa.BigInteger()))
    op.add_column("keys", sa.Column("patterns", sa.Text(), nullable=False, server_default="[]"))
    op.add_column("keys", sa.Column("used_at", sa.BigInteger()))
    op.add_column("keys", sa.Column("used_from", sa.Text(), nullable=False, server_default=""))
    op.add_column("keys", sa.Column("warned_days", sa.Integer()))
    op.add_column("subdirs", sa.Column("size", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute(
        "UPDATE subdirs SET size = (SELECT COALESCE(SUM(files.size), 0) FROM files"
        " WHERE files.subdir_id = subdirs.id AND files.state <> 'deleted')"
    )
    op.add_column("users", sa.Column("display_name", sa.Text(), nullable=False, server_default=""))
    op.add_column("users", sa.Column("second_factor_ends_at", sa.BigInteger()))
    op.add_column("users", sa.Column("quota_bytes", sa.BigInteger()))
    # The operator has given these addresses, so they count as verified; of two users with one, the first has it.
    op.execute(
        "INSERT INTO emails (user_id, address, folded, is_primary, added_at, verified_at)"
        " SELECT id, email, LOWER(email), (1 = 1), created_at, CASE WHEN id ="
        " (SELECT MIN(others.id) FROM users AS others WHERE LOWER(others.email) = LOWER(users.email))"
        " THEN created_at END FROM users WHERE email IS NOT NULL"
    )
    op.execute("ALTER TABLE users DROP COLUMN email")


def _make_tables() -> None:
    op.create_table(
        "buckets",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("level", sa.Float(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("empty_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_buckets")),
    )
    with op.batch_alter_table("buckets", schema=None) as batch_op:
        batch_op.create_index("ix_buckets_empty_at", ["empty_at"], unique=False)

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
        "released_user_names",
        sa.Column("name", _name(39), nullable=False),
        sa.Column("released_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_released_user_names")),
    )
    op.create_table(
        "site_values",
        sa.Column("name", _name(40), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_site_values")),
    )
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
    with op.batch_alter_table("channel_groups", schema=None) as batch_op:
        batch_op.create_index("ix_channel_groups_group_id", ["group_id"], unique=False)

    op.create_table(
        "cli_devices",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("user_code", sa.LargeBinary(length=32), nullable=False),
        sa.Column("client_id", sa.String(length=64), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("user_id", _id(), nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("interval_ms", sa.BigInteger(), nullable=False),
        sa.Column("polled_at", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_cli_devices_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_cli_devices")),
        sa.UniqueConstraint("user_code", name=op.f("uq_cli_devices_user_code")),
    )
    with op.batch_alter_table("cli_devices", schema=None) as batch_op:
        batch_op.create_index("ix_cli_devices_expires_at", ["expires_at"], unique=False)

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
    with op.batch_alter_table("cli_grants", schema=None) as batch_op:
        batch_op.create_index("ix_cli_grants_user_id", ["user_id"], unique=False)

    op.create_table(
        "emails",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("folded", _name(254), nullable=False),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("verified_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_emails_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_emails")),
        sa.UniqueConstraint("user_id", "folded", name=op.f("uq_emails_user_id_folded")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("emails", schema=None) as batch_op:
        batch_op.create_index(
            "uq_emails_verified",
            ["folded"],
            unique=True,
            sqlite_where=sa.text("verified_at IS NOT NULL"),
            postgresql_where=sa.text("verified_at IS NOT NULL"),
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
    with op.batch_alter_table("group_members", schema=None) as batch_op:
        batch_op.create_index("ix_group_members_user_id", ["user_id"], unique=False)

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
    with op.batch_alter_table("identities", schema=None) as batch_op:
        batch_op.create_index("ix_identities_user_id", ["user_id"], unique=False)

    op.create_table(
        "invitations",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("channel_id", _id(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("folded", _name(254), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("invited_by", _id(), nullable=True),
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
    with op.batch_alter_table("invitations", schema=None) as batch_op:
        batch_op.create_index("ix_invitations_folded", ["folded"], unique=False)

    op.create_table(
        "mailed_links",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("purpose", sa.String(length=24), nullable=False),
        sa.Column("user_id", _id(), nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_mailed_links_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_mailed_links")),
    )
    with op.batch_alter_table("mailed_links", schema=None) as batch_op:
        batch_op.create_index("ix_mailed_links_expires_at", ["expires_at"], unique=False)
        batch_op.create_index("ix_mailed_links_user_id", ["user_id"], unique=False)

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
    with op.batch_alter_table("notices", schema=None) as batch_op:
        batch_op.create_index("ix_notices_channel_id", ["channel_id"], unique=False)

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
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_passkeys_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_passkeys")),
        sa.UniqueConstraint("credential_id", name=op.f("uq_passkeys_credential_id")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("passkeys", schema=None) as batch_op:
        batch_op.create_index("ix_passkeys_user_id", ["user_id"], unique=False)

    op.create_table(
        "recovery_codes",
        sa.Column("id", _id(), autoincrement=True, nullable=False),
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_recovery_codes_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_codes")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("recovery_codes", schema=None) as batch_op:
        batch_op.create_index("ix_recovery_codes_user_id", ["user_id"], unique=False)

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
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.create_index("ix_sessions_user_id", ["user_id"], unique=False)

    op.create_table(
        "sign_ins",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("user_id", _id(), nullable=True),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sign_ins_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_sign_ins")),
    )
    with op.batch_alter_table("sign_ins", schema=None) as batch_op:
        batch_op.create_index("ix_sign_ins_expires_at", ["expires_at"], unique=False)

    op.create_table(
        "totp",
        sa.Column("user_id", _id(), nullable=False),
        sa.Column("seed", sa.LargeBinary(), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=True),
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
    with op.batch_alter_table("transfers", schema=None) as batch_op:
        batch_op.create_index("ix_transfers_to_user_id", ["to_user_id"], unique=False)

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
        sa.Column("grant_id", _id(), nullable=True),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["cli_grants.id"], name=op.f("fk_cli_codes_grant_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_cli_codes_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_cli_codes")),
    )
    with op.batch_alter_table("cli_codes", schema=None) as batch_op:
        batch_op.create_index("ix_cli_codes_expires_at", ["expires_at"], unique=False)

    op.create_table(
        "cli_tokens",
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("grant_id", _id(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("replaced_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["grant_id"], ["cli_grants.id"], name=op.f("fk_cli_tokens_grant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_cli_tokens")),
    )
    with op.batch_alter_table("cli_tokens", schema=None) as batch_op:
        batch_op.create_index("ix_cli_tokens_expires_at", ["expires_at"], unique=False)
        batch_op.create_index("ix_cli_tokens_grant_id", ["grant_id"], unique=False)

    op.create_table(
        "downloads",
        sa.Column("file_id", _id(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name=op.f("fk_downloads_file_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("file_id", "day", name=op.f("pk_downloads")),
    )
