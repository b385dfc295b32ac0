"""
All tables of the database.

Times are milliseconds since 1970 UTC (BigInteger), hashes are raw bytes, and records are stored as the JSON bytes
that readers get. Queries are in the packages that use them, not here.

    users ─┬─ emails, identities, passkeys, totp, recovery_codes, sessions, mailed_links
           ├─ cli_grants ── cli_tokens;  cli_devices, cli_codes
           ├─ keys ── key_channels ─────┐
           ├─ group_members ── groups ──┤ channel_groups
           └─ members ──────────────────┴─ channels ─┬─ invitations, transfers, notices
                                                     ├─ publishers ── token_publishers ── workflow_tokens
                                                     ├─ resumable_uploads ── resumable_pieces
                                                     ├─ packages ── package_downloads, daily_package_downloads
                                                     ├─ daily_channel_downloads, daily_storage
                                                     ├─ subdirs ─┬─ files ── downloads, file_downloads;  attestations
    released_names  released_user_names  audit       │           ├─ shards, retired_shards, fragments
    jobs  schedules  sign_ins  buckets  site_values  │           └─ documents
    issuers  issuer_keys  used_tokens  uploads  upload_chains
    manifest_marks  kept_blobs  damaged_blobs

No usable secret is stored: credentials are stored as hashes, and secrets that the server must read (TOTP seeds, the
signing key of ID tokens) are encrypted with a key that is not in the database (`encryption.cipher`).
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)
from sqlalchemy.schema import SchemaItem

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _table(name: str, *items: SchemaItem, **options: Any) -> Table:
    return Table(name, metadata, *items, **options)


def _table_with_id(name: str, *items: SchemaItem) -> Table:
    # SQLite reuses row ids by default, and an audit entry must never point to a later row.
    id_ = Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    return _table(name, id_, *items, sqlite_autoincrement=True)


def _name(length: int) -> String:
    # Names are compared and sorted by their bytes, on every database and in every locale.
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def _belongs_to(column: str, target: str, *, primary_key: bool = False, index: bool = False) -> Column[int]:
    foreign_key = ForeignKey(target, ondelete="CASCADE")
    return Column(column, foreign_key, nullable=False, primary_key=primary_key, index=index)


def _where(condition: str) -> dict[str, Any]:
    """Return the arguments that restrict an index to some rows."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


users = _table_with_id(
    "users",
    Column("name", _name(39), nullable=False, unique=True),
    Column("display_name", Text, nullable=False, server_default=""),
    Column("folded_display_name", Text, nullable=False, server_default=""),  # for searching
    Column("password_hash", Text),
    Column("is_admin", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
    Column("second_factor_ends_at", BigInteger),  # when a requested and announced reset by an admin takes effect
    Column("quota_bytes", BigInteger),  # for all channels that the user owns together; NULL: no limit
    Column("signed_in_at", BigInteger, nullable=False, server_default="0"),  # last sign-in in a browser; 0: never
    # For the list of users that site admins filter and sort.
    Index("ix_users_created_at", "created_at", "id"),
    Index("ix_users_signed_in_at", "signed_in_at", "id"),
    Index("ix_users_admin", "name", sqlite_where=text("is_admin = 1"), postgresql_where=text("is_admin")),
    Index("ix_users_disabled", "name", **_where("disabled_at IS NOT NULL")),
    Index("ix_users_second_factor_ends_at", "second_factor_ends_at", **_where("second_factor_ends_at IS NOT NULL")),
)

# A verified address belongs to one user. An unverified one proves nothing, so several users can have it.
emails = _table_with_id(
    "emails",
    _belongs_to("user_id", "users.id"),
    Column("address", Text, nullable=False),  # as typed, for sending emails
    Column("folded", _name(254), nullable=False),  # normalized, for comparing
    Column("is_primary", Boolean, nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Column("verified_at", BigInteger),
    UniqueConstraint("user_id", "folded"),
    Index("uq_emails_verified", "folded", unique=True, **_where("verified_at IS NOT NULL")),
    Index("ix_emails_unverified", "user_id", **_where("verified_at IS NULL")),
)

# External logins of users; identified only by (issuer, subject).
identities = _table_with_id(
    "identities",
    _belongs_to("user_id", "users.id", index=True),
    Column("provider", String(40), nullable=False),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("login", Text, nullable=False),  # name of the account at the provider, for display
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, nullable=False),
    UniqueConstraint("issuer", "subject"),
)

# Browsers that are signed in; the secret in the cookie is stored as a hash.
sessions = _table_with_id(
    "sessions",
    _belongs_to("user_id", "users.id", index=True),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("confirmed_at", BigInteger, nullable=False),  # when the user last confirmed with a password or factor
    Column("address", Text, nullable=False),
    Column("agent", Text, nullable=False),
)

# Unfinished sign-ins of browsers: sent to a provider, or waiting for a second factor. Each is used once.
sign_ins = _table(
    "sign_ins",
    Column("digest", LargeBinary(32), primary_key=True),
    Column("kind", String(24), nullable=False),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE")),
    Column("data", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
)

# Single-use links in emails: to verify an address, set a password (again, or of a new account), or create the first
# account.
mailed_links = _table(
    "mailed_links",
    Column("digest", LargeBinary(32), primary_key=True),
    Column("purpose", String(24), nullable=False),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE"), index=True),
    Column("address", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("used_at", BigInteger),
)

passkeys = _table_with_id(
    "passkeys",
    _belongs_to("user_id", "users.id", index=True),
    Column("credential_id", LargeBinary, nullable=False, unique=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("sign_count", BigInteger, nullable=False),
    Column("transports", Text, nullable=False),
    Column("name", _name(100), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
)

totp = _table(
    "totp",
    _belongs_to("user_id", "users.id", primary_key=True),
    Column("seed", LargeBinary, nullable=False),  # encrypted
    Column("confirmed_at", BigInteger),
    Column("last_step", BigInteger, nullable=False),  # so that each code works once
)

recovery_codes = _table_with_id(
    "recovery_codes",
    _belongs_to("user_id", "users.id", index=True),
    Column("hash", Text, nullable=False),
    Column("used_at", BigInteger),
)

# Levels of the rate limits, shared by all workers.
buckets = _table(
    "buckets",
    Column("digest", LargeBinary(32), primary_key=True),
    Column("level", Float, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("empty_at", BigInteger, nullable=False, index=True),  # from then on the row can be deleted
)

# Site-wide values, such as which secret key is in use and the (encrypted) signing key of ID tokens.
site_values = _table(
    "site_values",
    Column("name", _name(40), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

# Names of deleted users: reserved for a year, so that no new user is mistaken for the old one.
released_user_names = _table(
    "released_user_names",
    Column("name", _name(39), primary_key=True),
    Column("released_at", BigInteger, nullable=False),
)

# Named sets of users that can be members of channels with a role.
groups = _table_with_id(
    "groups",
    Column("name", _name(39), nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

group_members = _table(
    "group_members",
    _belongs_to("group_id", "groups.id", primary_key=True),
    _belongs_to("user_id", "users.id", primary_key=True, index=True),
    Column("is_manager", Boolean, nullable=False),  # can change the group
    Column("added_at", BigInteger, nullable=False),
)

channels = _table_with_id(
    "channels",
    Column("name", _name(128), nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("folded_description", Text, nullable=False, server_default=""),  # for searching
    Column("is_public", Boolean, nullable=False),
    Column("refuses_lookalikes", Boolean, nullable=False),
    Column("allows_overwrite", Boolean, nullable=False, server_default=true()),  # if false, a name never gets new bytes
    Column("allows_v3", Boolean, nullable=False, server_default=true()),  # records that only repodata v3 can hold
    Column("v3_message", Text, nullable=False, server_default=""),  # for users whose client does not see v3 records
    # Names of related channels (CEP 42), empty for none; `indexing.relations` keeps them up to date.
    Column("base", String(128), nullable=False, server_default=""),
    Column("overrides", String(128), nullable=False, server_default=""),
    Column("quota_bytes", BigInteger),  # NULL: no limit for this channel
    Column("only_publishers", Boolean, nullable=False, server_default=false()),  # no uploads with keys or by browser
    Column("attestations", String(8), nullable=False, server_default="optional"),  # off, optional, required
    Column("created_at", BigInteger, nullable=False),
    Index("ix_channels_quota", "name", **_where("quota_bytes IS NOT NULL")),
)

# Channel logos; the blob is a PNG that the server has re-encoded from the uploaded picture.
logos = _table(
    "logos",
    _belongs_to("channel_id", "channels.id", primary_key=True),
    Column("sha256", LargeBinary(32), nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
)

# Names of deleted channels: available to the old owner at once, to others after a year.
released_names = _table(
    "released_names",
    Column("name", _name(128), primary_key=True),
    Column("owner_id", ForeignKey("users.id", ondelete="SET NULL")),
    Column("released_at", BigInteger, nullable=False),
)

members = _table(
    "members",
    _belongs_to("channel_id", "channels.id", primary_key=True),
    _belongs_to("user_id", "users.id", primary_key=True, index=True),
    Column("role", String(16), nullable=False),
    Column("added_at", BigInteger, nullable=False),
    # Exactly one owner: this index allows at most one, and owners are only ever replaced.
    Index("uq_members_owner", "channel_id", unique=True, **_where("role = 'owner'")),
)

channel_groups = _table(
    "channel_groups",
    _belongs_to("channel_id", "channels.id", primary_key=True),
    _belongs_to("group_id", "groups.id", primary_key=True, index=True),
    Column("role", String(16), nullable=False),  # never owner: a channel has exactly one owner, who is a user
    Column("added_at", BigInteger, nullable=False),
)

# Invitations to become a member, sent to email addresses.
invitations = _table_with_id(
    "invitations",
    _belongs_to("channel_id", "channels.id"),
    Column("address", Text, nullable=False),
    Column("folded", _name(254), nullable=False, index=True),
    Column("role", String(16), nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("invited_by", ForeignKey("users.id", ondelete="SET NULL")),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    UniqueConstraint("channel_id", "folded"),
)

# Pending offers of owners to transfer a channel to another user.
transfers = _table(
    "transfers",
    _belongs_to("channel_id", "channels.id", primary_key=True),
    _belongs_to("to_user_id", "users.id", index=True),
    _belongs_to("offered_by", "users.id"),
    Column("offered_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

# Notices of the owner to all readers of the channel (CEP 6).
notices = _table_with_id(
    "notices",
    _belongs_to("channel_id", "channels.id", index=True),
    Column("level", String(8), nullable=False),
    Column("message", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

keys = _table_with_id(
    "keys",
    _belongs_to("user_id", "users.id"),
    Column("name", _name(100), nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("mode", String(24), nullable=False),
    Column("all_channels", Boolean, nullable=False),
    # JSON: package names, which can end in `*`; [] means all packages.
    Column("patterns", Text, nullable=False, server_default="[]"),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("used_at", BigInteger),
    Column("used_from", Text, nullable=False, server_default=""),
    Column("warned_days", Integer),  # the owner was notified this many days before it expires
    UniqueConstraint("user_id", "name"),
)

key_channels = _table(
    "key_channels",
    _belongs_to("key_id", "keys.id", primary_key=True),
    _belongs_to("channel_id", "channels.id", primary_key=True),
)

packages = _table_with_id(
    "packages",
    _belongs_to("channel_id", "channels.id"),
    Column("name", _name(64), nullable=False),
    Column("folded_name", _name(64), nullable=False),
    # Of the newest file, so that lists can be searched, filtered and sorted without reading files; written only by
    # `packages.newest_file`. No foreign key: files refer to packages.
    Column("newest_file_id", BigInteger),  # NULL: all files are deleted
    Column("summary", Text, nullable=False, server_default=""),
    Column("search_text", Text, nullable=False, server_default=""),  # folded name and folded summary
    Column("license", Text, nullable=False, server_default=""),
    Column("updated_at", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("channel_id", "name"),
    Index("ix_packages_channel_id_folded_name", "channel_id", "folded_name"),
    Index("ix_packages_channel_id_license", "channel_id", "license"),
    Index("ix_packages_channel_id_updated_at", "channel_id", "updated_at"),
)

subdirs = _table_with_id(
    "subdirs",
    _belongs_to("channel_id", "channels.id"),
    Column("name", _name(32), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("record_count", BigInteger, nullable=False),
    Column(
        "size", BigInteger, nullable=False, server_default="0"
    ),  # bytes of its files, without deleted ones; for quotas
    # The newest revision whose shard index was served; shards that it names are kept for a week after replacement.
    Column("served_revision", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("channel_id", "name"),
    Index("ix_subdirs_changed_at", "changed_at", "id"),  # for lists of channels by last change
)

files = _table_with_id(
    "files",
    _belongs_to("subdir_id", "subdirs.id"),
    _belongs_to("package_id", "packages.id"),
    Column("file_name", _name(211), nullable=False),
    Column("state", String(8), nullable=False),  # listed, yanked, deleted (the name stays taken)
    Column("yank_reason", Text, nullable=False, server_default=""),  # optional
    # The audit entry of the change that yanked the file last, and the yank that it replaced, to undo it. An id is NULL
    # if that yank cannot be undone, the earlier reason if the file was listed before.
    Column("yank_id", BigInteger),
    Column("earlier_yank_id", BigInteger),
    Column("earlier_yank_reason", Text),
    Column("section", String(16), nullable=False),
    Column("version", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False, index=True),
    Column("indexed_at", BigInteger, nullable=False),
    Column("uploaded_by", ForeignKey("users.id", ondelete="SET NULL")),
    Column("uploaded_as", Text, nullable=False),  # display name of the uploader, kept when the user is deleted
    Column("record", LargeBinary, nullable=False),
    Column("about", LargeBinary, nullable=False),
    Column("correction", LargeBinary),  # JSON: corrected fields of `record`, original values, reason, author, time
    UniqueConstraint("subdir_id", "file_name"),
    Index("ix_files_subdir_id_package_id", "subdir_id", "package_id", "state", "size"),  # lists add up sizes by it
    Index("ix_files_yank_id", "yank_id", **_where("yank_id IS NOT NULL")),
    Index("ix_files_subdir_id_lower_file_name", "subdir_id", text("lower(file_name)")),
)

# Uploads in pieces, which clients resume after a lost connection (`publishing.resumable`).
resumable_uploads = _table(
    "resumable_uploads",
    Column("id", String(32), primary_key=True),
    _belongs_to("user_id", "users.id", index=True),
    _belongs_to("channel_id", "channels.id", index=True),
    Column("file_name", _name(211), nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("sha256", String(64)),
    Column("force", Boolean, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("published", Text),  # JSON: the result, once the file is published
)

resumable_pieces = _table(
    "resumable_pieces",
    Column("upload_id", ForeignKey("resumable_uploads.id", ondelete="CASCADE"), primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False, index=True),
)

# Downloads of each file by day (days since 1970 UTC) and client family. The four tables below are sums of this one, kept
# in the same transaction (`packages.downloads`), so that no page reads the rows of many files.
downloads = _table(
    "downloads",
    _belongs_to("file_id", "files.id", primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("client", String(8), primary_key=True),  # packages.client_families
    Column("count", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

file_downloads = _table(
    "file_downloads",
    _belongs_to("file_id", "files.id", primary_key=True),
    Column("count", BigInteger, nullable=False),
)

package_downloads = _table(
    "package_downloads",
    _belongs_to("package_id", "packages.id", primary_key=True),
    _belongs_to("channel_id", "channels.id"),
    Column("recent", BigInteger, nullable=False),  # downloads of 30 days
    Column("recent_day", Integer, nullable=False),  # the last of these days when `recent` was last added up
    Index("ix_package_downloads_recent", "channel_id", "recent"),
)

# Downloads by day, split by version, by subdir and by client family: `key` is one of them.
daily_package_downloads = _table(
    "daily_package_downloads",
    _belongs_to("package_id", "packages.id", primary_key=True),
    Column("split", String(8), primary_key=True),  # version, subdir, client
    Column("day", Integer, primary_key=True),
    Column("key", _name(64), primary_key=True),
    Column("count", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

daily_channel_downloads = _table(
    "daily_channel_downloads",
    _belongs_to("channel_id", "channels.id", primary_key=True),
    Column("split", String(8), primary_key=True),  # subdir, client
    Column("day", Integer, primary_key=True),
    Column("key", _name(64), primary_key=True),
    Column("count", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# Size of each channel, sampled once a day.
daily_storage = _table(
    "daily_storage",
    _belongs_to("channel_id", "channels.id", primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("files", BigInteger, nullable=False),
    Column("packages", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# One row for each (subdir, name) that ever had a file. `sha256` is NULL if no file of the name is left.
shards = _table(
    "shards",
    _belongs_to("subdir_id", "subdirs.id", primary_key=True),
    Column("name", _name(64), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("sha256", LargeBinary(32)),
    Column("record_count", Integer, nullable=False),
    Column("v3_count", Integer, nullable=False),
    Column("v3_newest", BigInteger, nullable=False),
    Column("v3_oldest", BigInteger, nullable=False),
    Column("content", LargeBinary),
    Column("checksum", BigInteger),  # of the fragments of the name; NULL: not known yet
    # Covers the query for changes since a known revision, which every shard index is built from.
    Index("ix_shards_changes", "subdir_id", "revision", "name", "sha256"),
    Index("ix_shards_content", "subdir_id", "sha256"),
    Index("ix_shards_v3", "subdir_id", **_where("v3_count > 0")),
)

# The records and run exports of a name, as JSON: whole documents join them with commas.
# Clustered by the primary key, so that building a document reads the table in order.
fragments = _table(
    "fragments",
    _belongs_to("subdir_id", "subdirs.id", primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("name", _name(64), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# Replaced shards that a served index named, readable for another week: a client may still have that index (CEP 16).
retired_shards = _table(
    "retired_shards",
    _belongs_to("subdir_id", "subdirs.id", primary_key=True),
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("retired_at", BigInteger, nullable=False, index=True),
    Column("content", LargeBinary, nullable=False),
)

# Whole documents as last built, all kinds of a subdir at the same revision; their bytes are blobs.
documents = _table(
    "documents",
    _belongs_to("subdir_id", "subdirs.id", primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
)

# Blobs that a row names and that are missing or have another hash (`packages.damaged_blobs`). A blob may have been stored
# again since, so the store is checked before a download is refused.
damaged_blobs = _table(
    "damaged_blobs",
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("found_at", BigInteger, nullable=False),
    Column("problem", String(8), nullable=False),  # damaged, missing
)

# Background jobs, run by any worker (`seaway.jobs`).
jobs = _table_with_id(
    "jobs",
    Column("kind", String(32), nullable=False),
    Column("dedup_key", Text),
    Column("args", Text, nullable=False),
    Column("state", String(8), nullable=False),  # ready, running, failed
    Column("run_at", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("owner", Text),
    Column("lease_until", BigInteger),
    Column("error", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # Only one of equal jobs waits. A running one does not count: it may miss changes made since its start.
    Index("uq_jobs_ready", "dedup_key", unique=True, **_where("state = 'ready'")),
    Index("ix_jobs_due", "state", "run_at"),
    Index("ix_jobs_state_kind", "state", "kind", "id"),
)

# When each periodic job is due next.
schedules = _table(
    "schedules",
    Column("kind", String(32), primary_key=True),
    Column("next_at", BigInteger, nullable=False),
)

audit = _table_with_id(
    "audit",
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("actor_id", BigInteger),
    Column("person", Text, nullable=False),  # the actor without the key or tool that was used, cut for the indexes
    Column("address", Text, nullable=False),
    Column("action", String(40), nullable=False),
    Column("channel", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("package", Text),  # of the files that the entry is about; * for several
    Column("detail", Text, nullable=False),
    # Each filter of the log is an index in the order of its pages, for a channel and for the site.
    Index("ix_audit_channel_id", "channel", "id"),
    Index("ix_audit_channel_person", "channel", "person", "id"),
    Index("ix_audit_channel_action", "channel", "action", "id"),
    Index("ix_audit_channel_package", "channel", "package", "id", **_where("package IS NOT NULL")),
    Index("ix_audit_person", "person", "id"),
    Index("ix_audit_action", "action", "id"),
    Index("ix_audit_package", "package", "id", **_where("package IS NOT NULL")),
)

# OAuth grants of command-line tools (`pixi auth login --oauth`). Refresh tokens rotate: the newest one of a grant is
# valid, the one before it during a short grace period, and the use of an older one ends the grant.
cli_devices = _table(
    "cli_devices",
    Column("digest", LargeBinary(32), primary_key=True),
    Column("user_code", LargeBinary(32), nullable=False, unique=True),  # its hash
    Column("client_id", String(64), nullable=False),
    Column("scope", Text, nullable=False),
    Column("state", String(8), nullable=False),  # pending, approved, denied
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE")),
    Column("address", Text, nullable=False),
    Column("interval_ms", BigInteger, nullable=False),
    Column("polled_at", BigInteger),
    Column("expires_at", BigInteger, nullable=False, index=True),
)

cli_codes = _table(
    "cli_codes",
    Column("digest", LargeBinary(32), primary_key=True),
    _belongs_to("user_id", "users.id"),
    Column("client_id", String(64), nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("challenge", Text, nullable=False),
    Column("nonce", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    # The grant that the code was exchanged for, which ends if the code is used again.
    Column("grant_id", ForeignKey("cli_grants.id", ondelete="SET NULL")),
)

cli_grants = _table_with_id(
    "cli_grants",
    _belongs_to("user_id", "users.id", index=True),
    Column("client_id", String(64), nullable=False),
    Column("scope", Text, nullable=False),
    Column("mode", String(24), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, nullable=False),
    Column("address", Text, nullable=False),
)

cli_tokens = _table(
    "cli_tokens",
    Column("digest", LargeBinary(32), primary_key=True),
    _belongs_to("grant_id", "cli_grants.id", index=True),
    Column("kind", String(8), nullable=False),  # access, refresh
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("replaced_at", BigInteger),
)

# Issuers of workflow tokens. Built-in issuers have a row only if an admin changed them.
issuers = _table_with_id(
    "issuers",
    Column("name", _name(40), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("issuer", _name(500), nullable=False, unique=True),  # must match the `iss` claim exactly
    Column("is_enabled", Boolean, nullable=False),
    Column("rules", Text, nullable=False),  # JSON: how to read the claims, if the kind does not define it
    Column("static_keys", Text),  # JSON Web Key Set to use instead of fetching one
    Column("added_at", BigInteger, nullable=False),
)

# The keys of each issuer as last fetched, shared by all workers; those for sign-in are named `sign-in ISSUER`.
issuer_keys = _table(
    "issuer_keys",
    Column("issuer", _name(500), primary_key=True),
    Column("keys", Text, nullable=False),  # JSON Web Key Set; never an empty or broken one
    Column("fetched_at", BigInteger, nullable=False),  # 0: never
    Column("tried_at", BigInteger, nullable=False),  # last attempt, successful or not; limits how often workers retry
    Column("error", Text, nullable=False),
)

# Trusted publishers: the workflows that can publish to a channel.
publishers = _table_with_id(
    "publishers",
    _belongs_to("channel_id", "channels.id"),
    Column("kind", String(16), nullable=False),
    Column("issuer", _name(500), nullable=False, index=True),
    Column("matched", Text, nullable=False),  # JSON: required claims that identify the publisher
    Column("identity", LargeBinary(32), nullable=False),  # hash of issuer and `matched`, for the constraint below
    Column(
        "subject", LargeBinary(32), nullable=False, index=True
    ),  # hash of issuer and repository, to find publishers by token
    Column("pins", Text, nullable=False),  # JSON: the ids of names, as first seen
    Column("gates", Text, nullable=False),  # JSON: further required claims
    Column("mode", String(24), nullable=False),
    Column("patterns", Text, nullable=False),  # as in `keys`
    Column("exchanges", Integer, nullable=False),  # how often a token of a job can be exchanged
    Column("is_enabled", Boolean, nullable=False),
    Column("created_by", ForeignKey("users.id", ondelete="SET NULL")),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Column("hinted_at", BigInteger),  # when the owner was notified that the publisher does not require an environment
    UniqueConstraint("channel_id", "identity"),
)

# Exchanged tokens of issuers, kept until long after they have expired, to prevent replays.
used_tokens = _table(
    "used_tokens",
    Column("issuer", _name(500), primary_key=True),
    Column("digest", LargeBinary(32), primary_key=True),  # of the jti, or of the token where it has none
    Column("count", Integer, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
)

# Publish tokens. A token is valid for the channels of the publishers in its `token_publishers` rows.
workflow_tokens = _table_with_id(
    "workflow_tokens",
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("issuer", _name(500), nullable=False),
    Column("workflow", Text, nullable=False),  # JSON: the run, as the issuer's token describes it
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("revoked_at", BigInteger),
)

token_publishers = _table(
    "token_publishers",
    _belongs_to("token_id", "workflow_tokens.id", primary_key=True),
    _belongs_to("publisher_id", "publishers.id", primary_key=True, index=True),
)

# The upload log: every file that was ever accepted. Rows are never deleted and have no foreign keys, so they outlive
# their channel. Each row's hash covers the hash of the row before it (`channels.upload_log`).
uploads = _table(
    "uploads",
    Column("channel_id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # from 1 in each channel
    Column("at", BigInteger, nullable=False),
    Column("channel", _name(128), nullable=False, index=True),
    Column("subdir", _name(32), nullable=False),
    Column("file_name", _name(211), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("replaced_sha256", LargeBinary(32)),  # of the file that had this name before
    Column("attestations_sha256", LargeBinary(32)),
    Column("principal", Text, nullable=False),  # display name of the caller
    Column("user_id", BigInteger),
    Column("key_id", BigInteger),
    Column("publisher_id", BigInteger),
    Column("issuer", Text, nullable=False),
    Column("repository", Text, nullable=False),
    Column("workflow", Text, nullable=False),
    Column("commit", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Index("ix_uploads_file", "channel_id", "subdir", "file_name"),
)

# The last row of each channel's upload log, so that a truncated log is detected.
upload_chains = _table(
    "upload_chains",
    Column("channel_id", BigInteger, primary_key=True, autoincrement=False),
    Column("count", BigInteger, nullable=False),
    Column("head", LargeBinary(32), nullable=False),
)

# Sidecars with the attestations of package files (CEP 50), by content; `superseded_at` is NULL for the current one.
attestations = _table(
    "attestations",
    _belongs_to("subdir_id", "subdirs.id", primary_key=True),
    Column("file_name", _name(211), primary_key=True),
    Column("sha256", LargeBinary(32), primary_key=True),  # of `content`
    Column("content", LargeBinary, nullable=False),
    Column("file_sha256", LargeBinary(32), nullable=False),
    Column("claims", Text, nullable=False),  # JSON: verified claims of the certificate
    Column("accepted_at", BigInteger, nullable=False),
    Column("superseded_at", BigInteger),
)

# Up to which revision the manifests in the store are written (`packages.manifest_writer`). No foreign keys: the row
# of a deleted channel stays until its objects in the store are deleted.
manifest_marks = _table(
    "manifest_marks",
    Column("store_id", String(32), primary_key=True),
    Column("channel_id", BigInteger, primary_key=True, autoincrement=False),
    Column("subdir_id", BigInteger, primary_key=True, autoincrement=False),  # 0: the object of the channel itself
    Column("revision", BigInteger, nullable=False),  # of the subdir when its objects were last up to date; -1: never
    Column("digest", LargeBinary(32)),  # of the channel object as last written
)

# Blobs that no manifest named when the database was rebuilt; the sweep leaves them until an operator releases them.
kept_blobs = _table(
    "kept_blobs",
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("size", BigInteger, nullable=False),
)
