"""
The data model on one page.

Times are milliseconds since 1970 UTC (BigInteger), hashes are raw bytes, and what repodata says is stored
as the bytes that readers get. Queries live with the noun that they serve; nothing here knows them.

    users ─┬─ emails, identities, passkeys, totp, recovery_codes, sessions, mailed_links
           ├─ cli_grants ── cli_tokens;  cli_devices, cli_codes
           ├─ keys ── key_channels ─────┐
           ├─ group_members ── groups ──┤ channel_groups
           └─ members ──────────────────┴─ channels ─┬─ invitations, transfers, notices
                                                     ├─ publishers ── token_publishers ── workflow_tokens
                                                     ├─ resumable_uploads ── resumable_pieces
                                                     ├─ packages
                                                     ├─ subdirs ─┬─ files ── downloads;  attestations
    released_names  released_user_names  audit       │           ├─ shards, retired_shards, fragments
    jobs  schedules  sign_ins  buckets  site_values  │           └─ documents
    issuers  issuer_keys  used_tokens  uploads  upload_chains
    manifest_marks  kept_blobs  damaged_blobs

No secret is stored that would open anything: of what people carry there is a hash, and what must be read again
(TOTP seeds, the signing key of ID tokens) is encrypted with a key that is not in the database (`accounts.sealing`).
"""

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

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> Column[int]:
    # SQLite gives out row ids again unless told not to; an audit line must never point at a later stranger.
    return Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)


def _name(length: int) -> String:
    # Names are compared and sorted by their bytes, on every database and in every locale.
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def _belongs_to(column: str, target: str, *, primary_key: bool = False) -> Column[int]:
    return Column(column, ForeignKey(target, ondelete="CASCADE"), nullable=False, primary_key=primary_key)


users = Table(
    "users",
    metadata,
    _id(),
    Column("name", _name(39), nullable=False, unique=True),
    Column("display_name", Text, nullable=False, server_default=""),
    Column("password_hash", Text),
    Column("is_admin", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
    Column("second_factor_ends_at", BigInteger),  # an admin was asked to take it away, and that is announced
    Column("quota_bytes", BigInteger),  # of all channels that the user owns together; NULL: no limit
    sqlite_autoincrement=True,
)

# One verified address belongs to one user. An unverified one proves nothing, so several may claim it.
emails = Table(
    "emails",
    metadata,
    _id(),
    _belongs_to("user_id", "users.id"),
    Column("address", Text, nullable=False),  # as it was typed, for letters
    Column("folded", _name(254), nullable=False),  # as it is compared
    Column("is_primary", Boolean, nullable=False),
    Column("added_at", BigInteger, nullable=False),
    Column("verified_at", BigInteger),
    UniqueConstraint("user_id", "folded"),
    Index(
        "uq_emails_verified",
        "folded",
        unique=True,
        sqlite_where=text("verified_at IS NOT NULL"),
        postgresql_where=text("verified_at IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)

# An account elsewhere that signs in here; found by (issuer, subject) and by nothing else.
identities = Table(
    "identities",
    metadata,
    _id(),
    _belongs_to("user_id", "users.id"),
    Column("provider", String(40), nullable=False),
    Column("issuer", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("login", Text, nullable=False),  # what the account is called there, for people to recognize
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, nullable=False),
    UniqueConstraint("issuer", "subject"),
    Index("ix_identities_user_id", "user_id"),
    sqlite_autoincrement=True,
)

# A browser that is signed in; its cookie is known by hash.
sessions = Table(
    "sessions",
    metadata,
    _id(),
    _belongs_to("user_id", "users.id"),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("confirmed_at", BigInteger, nullable=False),  # when the person last proved to be there
    Column("address", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Index("ix_sessions_user_id", "user_id"),
    sqlite_autoincrement=True,
)

# A sign-in that is under way in a browser: sent to a provider, or waiting for a second factor. Each is used once.
sign_ins = Table(
    "sign_ins",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("kind", String(24), nullable=False),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE")),
    Column("data", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_sign_ins_expires_at", "expires_at"),
)

# What a link in a letter opens, once: verifying an address, a new password, the first account.
mailed_links = Table(
    "mailed_links",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("purpose", String(24), nullable=False),
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE")),
    Column("address", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Index("ix_mailed_links_user_id", "user_id"),
    Index("ix_mailed_links_expires_at", "expires_at"),
)

passkeys = Table(
    "passkeys",
    metadata,
    _id(),
    _belongs_to("user_id", "users.id"),
    Column("credential_id", LargeBinary, nullable=False, unique=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("sign_count", BigInteger, nullable=False),
    Column("transports", Text, nullable=False),
    Column("name", _name(100), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Index("ix_passkeys_user_id", "user_id"),
    sqlite_autoincrement=True,
)

totp = Table(
    "totp",
    metadata,
    _belongs_to("user_id", "users.id", primary_key=True),
    Column("seed", LargeBinary, nullable=False),  # encrypted
    Column("confirmed_at", BigInteger),
    Column("last_step", BigInteger, nullable=False),  # a code is good once
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    _id(),
    _belongs_to("user_id", "users.id"),
    Column("hash", Text, nullable=False),
    Column("used_at", BigInteger),
    Index("ix_recovery_codes_user_id", "user_id"),
    sqlite_autoincrement=True,
)

# How much of each rate is used up; shared by all workers.
buckets = Table(
    "buckets",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("level", Float, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("empty_at", BigInteger, nullable=False),  # from then on the row says nothing
    Index("ix_buckets_empty_at", "empty_at"),
)

# Single values of the whole site: which secret key is in use, the key that signs ID tokens (encrypted).
site_values = Table(
    "site_values",
    metadata,
    Column("name", _name(40), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

# The names of deleted users: nobody can take one for a year, and be trusted as the one before.
released_user_names = Table(
    "released_user_names",
    metadata,
    Column("name", _name(39), primary_key=True),
    Column("released_at", BigInteger, nullable=False),
)

# Groups: a named set of users that can be a member of channels with a role.
groups = Table(
    "groups",
    metadata,
    _id(),
    Column("name", _name(39), nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

group_members = Table(
    "group_members",
    metadata,
    _belongs_to("group_id", "groups.id", primary_key=True),
    _belongs_to("user_id", "users.id", primary_key=True),
    Column("is_manager", Boolean, nullable=False),  # may change the group
    Column("added_at", BigInteger, nullable=False),
    Index("ix_group_members_user_id", "user_id"),
)

channels = Table(
    "channels",
    metadata,
    _id(),
    Column("name", _name(128), nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("is_public", Boolean, nullable=False),
    Column("refuses_lookalikes", Boolean, nullable=False),
    Column("allows_overwrite", Boolean, nullable=False, server_default=true()),  # else a name never gets other bytes
    Column("allows_v3", Boolean, nullable=False, server_default=true()),  # records that only repodata v3 can hold
    Column("v3_message", Text, nullable=False, server_default=""),  # for users whose client does not see them
    # Neighbors by name (CEP 42), empty for none; `indexing.relations` keeps them in line with what they name.
    Column("base", String(128), nullable=False, server_default=""),
    Column("overrides", String(128), nullable=False, server_default=""),
    Column("quota_bytes", BigInteger),  # NULL: no limit of its own
    Column("only_publishers", Boolean, nullable=False, server_default=false()),  # keys and browsers do not upload
    Column("attestations", String(8), nullable=False, server_default="optional"),  # off, optional, required
    Column("created_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

# The pictures of channels, drawn by us from what was given; the blob is the PNG.
logos = Table(
    "logos",
    metadata,
    _belongs_to("channel_id", "channels.id", primary_key=True),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Index("ix_logos_sha256", "sha256"),
)

# The names of deleted channels: free for the old owner at once, for others after a year.
released_names = Table(
    "released_names",
    metadata,
    Column("name", _name(128), primary_key=True),
    Column("owner_id", ForeignKey("users.id", ondelete="SET NULL")),
    Column("released_at", BigInteger, nullable=False),
)

members = Table(
    "members",
    metadata,
    _belongs_to("channel_id", "channels.id", primary_key=True),
    _belongs_to("user_id", "users.id", primary_key=True),
    Column("role", String(16), nullable=False),
    Column("added_at", BigInteger, nullable=False),
    # Exactly one owner: at most one by this index, at least one since owners are only ever exchanged.
    Index(
        "uq_members_owner",
        "channel_id",
        unique=True,
        sqlite_where=text("role = 'owner'"),
        postgresql_where=text("role = 'owner'"),
    ),
    Index("ix_members_user_id", "user_id"),
)

channel_groups = Table(
    "channel_groups",
    metadata,
    _belongs_to("channel_id", "channels.id", primary_key=True),
    _belongs_to("group_id", "groups.id", primary_key=True),
    Column("role", String(16), nullable=False),  # never owner: a channel has exactly one, who is a person
    Column("added_at", BigInteger, nullable=False),
    Index("ix_channel_groups_group_id", "group_id"),
)

# Somebody without an account, or whose account is not known, was asked to become a member.
invitations = Table(
    "invitations",
    metadata,
    _id(),
    _belongs_to("channel_id", "channels.id"),
    Column("address", Text, nullable=False),
    Column("folded", _name(254), nullable=False),
    Column("role", String(16), nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("invited_by", ForeignKey("users.id", ondelete="SET NULL")),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    UniqueConstraint("channel_id", "folded"),
    Index("ix_invitations_folded", "folded"),
    sqlite_autoincrement=True,
)

# A channel that its owner offered to somebody; until it is accepted nothing changes.
transfers = Table(
    "transfers",
    metadata,
    _belongs_to("channel_id", "channels.id", primary_key=True),
    _belongs_to("to_user_id", "users.id"),
    _belongs_to("offered_by", "users.id"),
    Column("offered_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_transfers_to_user_id", "to_user_id"),
)

# What the owner tells everybody who reads the channel (CEP 6).
notices = Table(
    "notices",
    metadata,
    _id(),
    _belongs_to("channel_id", "channels.id"),
    Column("level", String(8), nullable=False),
    Column("message", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_notices_channel_id", "channel_id"),
    sqlite_autoincrement=True,
)

keys = Table(
    "keys",
    metadata,
    _id(),
    _belongs_to("user_id", "users.id"),
    Column("name", _name(100), nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("mode", String(24), nullable=False),
    Column("all_channels", Boolean, nullable=False),
    Column(
        "patterns", Text, nullable=False, server_default="[]"
    ),  # JSON: names of packages, `*` at the end of some; [] for all
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("used_at", BigInteger),
    Column("used_from", Text, nullable=False, server_default=""),
    Column("warned_days", Integer),  # the owner was told that it ends in so many days
    UniqueConstraint("user_id", "name"),
    sqlite_autoincrement=True,
)

key_channels = Table(
    "key_channels",
    metadata,
    _belongs_to("key_id", "keys.id", primary_key=True),
    _belongs_to("channel_id", "channels.id", primary_key=True),
)

packages = Table(
    "packages",
    metadata,
    _id(),
    _belongs_to("channel_id", "channels.id"),
    Column("name", _name(64), nullable=False),
    Column("folded_name", _name(64), nullable=False),
    Column("summary", Text, nullable=False, server_default=""),  # what the file that came last says, for searching
    UniqueConstraint("channel_id", "name"),
    Index("ix_packages_channel_id_folded_name", "channel_id", "folded_name"),
    sqlite_autoincrement=True,
)

subdirs = Table(
    "subdirs",
    metadata,
    _id(),
    _belongs_to("channel_id", "channels.id"),
    Column("name", _name(32), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("record_count", BigInteger, nullable=False),
    Column(
        "size", BigInteger, nullable=False, server_default="0"
    ),  # the bytes of its files that were not deleted, for quotas
    # The newest revision whose shard index readers have; what they were named is kept for a week after it is replaced.
    Column("served_revision", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("channel_id", "name"),
    sqlite_autoincrement=True,
)

files = Table(
    "files",
    metadata,
    _id(),
    _belongs_to("subdir_id", "subdirs.id"),
    _belongs_to("package_id", "packages.id"),
    Column("file_name", _name(211), nullable=False),
    Column("state", String(8), nullable=False),  # listed, yanked, deleted (the name stays taken)
    Column("yank_reason", Text, nullable=False, server_default=""),  # of a yanked file, if one was given
    Column("section", String(16), nullable=False),
    Column("version", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("indexed_at", BigInteger, nullable=False),
    Column("uploaded_by", ForeignKey("users.id", ondelete="SET NULL")),
    Column("uploaded_as", Text, nullable=False),  # who it was, in words, for as long as the row lives
    Column("record", LargeBinary, nullable=False),
    Column("about", LargeBinary, nullable=False),
    Column("correction", LargeBinary),  # JSON: corrected fields of `record`, their original values, reason, who, when
    UniqueConstraint("subdir_id", "file_name"),
    Index("ix_files_subdir_id_package_id", "subdir_id", "package_id"),
    Index("ix_files_sha256", "sha256"),
    Index("ix_files_subdir_id_lower_file_name", "subdir_id", text("lower(file_name)")),
    sqlite_autoincrement=True,
)

# Files that arrive in pieces, from clients whose connections break (`publishing.resumable`).
resumable_uploads = Table(
    "resumable_uploads",
    metadata,
    Column("id", String(32), primary_key=True),
    _belongs_to("user_id", "users.id"),
    _belongs_to("channel_id", "channels.id"),
    Column("file_name", _name(211), nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("sha256", String(64)),
    Column("force", Boolean, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("published", Text),  # JSON: what became of it
    Index("ix_resumable_uploads_user_id", "user_id"),
    Index("ix_resumable_uploads_channel_id", "channel_id"),
    Index("ix_resumable_uploads_expires_at", "expires_at"),
)

resumable_pieces = Table(
    "resumable_pieces",
    metadata,
    Column("upload_id", ForeignKey("resumable_uploads.id", ondelete="CASCADE"), primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Index("ix_resumable_pieces_sha256", "sha256"),
)

# How often a file was fetched, by day (days since 1970 UTC).
downloads = Table(
    "downloads",
    metadata,
    _belongs_to("file_id", "files.id", primary_key=True),
    Column("day", Integer, primary_key=True),
    Column("count", BigInteger, nullable=False),
)

# One row for each (subdir, name) that ever had a file. A row without a sha256 says that the name is gone.
shards = Table(
    "shards",
    metadata,
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
    # Covers «what changed since the revision that I know», which every shard index is made from.
    Index("ix_shards_changes", "subdir_id", "revision", "name", "sha256"),
    Index("ix_shards_content", "subdir_id", "sha256"),
    Index(
        "ix_shards_v3",
        "subdir_id",
        sqlite_where=text("v3_count > 0"),
        postgresql_where=text("v3_count > 0"),
    ),
)

# The records of a name, and what it exports, joined as JSON: whole documents are these with commas between.
# Clustered by its key, so that a document is one walk in order.
fragments = Table(
    "fragments",
    metadata,
    _belongs_to("subdir_id", "subdirs.id", primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("name", _name(64), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# Replaced shards that a served index named stay readable for a week: a client may hold that index (CEP 16).
retired_shards = Table(
    "retired_shards",
    metadata,
    _belongs_to("subdir_id", "subdirs.id", primary_key=True),
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("retired_at", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Index("ix_retired_shards_retired_at", "retired_at"),
)

# Whole documents as last built, all kinds of a subdir at one revision; the bytes are blobs.
documents = Table(
    "documents",
    metadata,
    _belongs_to("subdir_id", "subdirs.id", primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Index("ix_documents_sha256", "sha256"),
)

# Blobs that a row names and that are not what their name says, or not there (`packages.damage`). A blob that was put
# again since is whole: readers look at the store before they refuse one of these.
damaged_blobs = Table(
    "damaged_blobs",
    metadata,
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("found_at", BigInteger, nullable=False),
    Column("problem", String(8), nullable=False),  # damaged, missing
)

# Work that is to be done later, by whichever worker comes first (`seaway.jobs`).
jobs = Table(
    "jobs",
    metadata,
    _id(),
    Column("kind", String(32), nullable=False),
    Column("dedup_key", Text),
    Column("args", Text, nullable=False),
    Column("state", String(8), nullable=False),  # ready, running, dead
    Column("run_at", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("owner", Text),
    Column("lease_until", BigInteger),
    Column("error", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # Of equal jobs one waits. One that runs does not count: what was asked since its start is not in it.
    Index(
        "uq_jobs_ready",
        "dedup_key",
        unique=True,
        sqlite_where=text("state = 'ready'"),
        postgresql_where=text("state = 'ready'"),
    ),
    Index("ix_jobs_due", "state", "run_at"),
    sqlite_autoincrement=True,
)

# When each thing that is done regularly is due next.
schedules = Table(
    "schedules",
    metadata,
    Column("kind", String(32), primary_key=True),
    Column("next_at", BigInteger, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    _id(),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("actor_id", BigInteger),
    Column("address", Text, nullable=False),
    Column("action", String(40), nullable=False),
    Column("channel", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Index("ix_audit_channel_id", "channel", "id"),
    Index("ix_audit_actor_id", "actor_id", "id"),
    sqlite_autoincrement=True,
)

# Command-line tools that people logged in (`pixi auth login --oauth`). A grant is one login, and its tokens follow
# one another: the newest refresh token is good, the one before it for a short grace, any older one ends the grant.
cli_devices = Table(
    "cli_devices",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("user_code", LargeBinary(32), nullable=False, unique=True),  # its hash
    Column("client_id", String(64), nullable=False),
    Column("scope", Text, nullable=False),
    Column("state", String(8), nullable=False),  # pending, approved, denied
    Column("user_id", ForeignKey("users.id", ondelete="CASCADE")),
    Column("address", Text, nullable=False),
    Column("interval_ms", BigInteger, nullable=False),
    Column("polled_at", BigInteger),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_cli_devices_expires_at", "expires_at"),
)

cli_codes = Table(
    "cli_codes",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    _belongs_to("user_id", "users.id"),
    Column("client_id", String(64), nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("challenge", Text, nullable=False),
    Column("nonce", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column(
        "grant_id", ForeignKey("cli_grants.id", ondelete="SET NULL")
    ),  # what it was exchanged for, to end if it comes again
    Index("ix_cli_codes_expires_at", "expires_at"),
)

cli_grants = Table(
    "cli_grants",
    metadata,
    _id(),
    _belongs_to("user_id", "users.id"),
    Column("client_id", String(64), nullable=False),
    Column("scope", Text, nullable=False),
    Column("mode", String(24), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, nullable=False),
    Column("address", Text, nullable=False),
    Index("ix_cli_grants_user_id", "user_id"),
    sqlite_autoincrement=True,
)

cli_tokens = Table(
    "cli_tokens",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    _belongs_to("grant_id", "cli_grants.id"),
    Column("kind", String(8), nullable=False),  # access, refresh
    Column("expires_at", BigInteger, nullable=False),
    Column("replaced_at", BigInteger),
    Index("ix_cli_tokens_grant_id", "grant_id"),
    Index("ix_cli_tokens_expires_at", "expires_at"),
)

# Who vouches for workflows. Those that Seaway knows by itself have a row here only where an admin changed something.
issuers = Table(
    "issuers",
    metadata,
    _id(),
    Column("name", _name(40), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("issuer", _name(500), nullable=False, unique=True),  # byte for byte what its tokens say
    Column("is_enabled", Boolean, nullable=False),
    Column("rules", Text, nullable=False),  # JSON: how the claims are read, where the kind does not say it
    Column("static_keys", Text),  # JSON Web Key Set that stands in for what would be fetched
    Column("added_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

# The keys of each issuer as last fetched, shared by all workers.
issuer_keys = Table(
    "issuer_keys",
    metadata,
    Column("issuer", _name(500), primary_key=True),
    Column("keys", Text, nullable=False),  # JSON Web Key Set; never an empty or broken one
    Column("fetched_at", BigInteger, nullable=False),  # 0: never
    Column("tried_at", BigInteger, nullable=False),  # whatever came of it; no worker asks again for a while
    Column("error", Text, nullable=False),
)

# The workflow elsewhere that is trusted to publish to a channel.
publishers = Table(
    "publishers",
    metadata,
    _id(),
    _belongs_to("channel_id", "channels.id"),
    Column("kind", String(16), nullable=False),
    Column("issuer", _name(500), nullable=False),
    Column("matched", Text, nullable=False),  # JSON: what a token must say
    Column("identity", LargeBinary(32), nullable=False),  # hash of issuer and `matched`, for the constraint below
    Column("subject", LargeBinary(32), nullable=False),  # hash of issuer and repository, by which a token finds it
    Column("pins", Text, nullable=False),  # JSON: ids that names had when they were first seen
    Column("gates", Text, nullable=False),  # JSON: what a token must say besides
    Column("mode", String(24), nullable=False),
    Column("patterns", Text, nullable=False),  # as those of keys
    Column("exchanges", Integer, nullable=False),  # how often one token of a job can be exchanged
    Column("is_enabled", Boolean, nullable=False),
    Column("created_by", ForeignKey("users.id", ondelete="SET NULL")),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Column("hinted_at", BigInteger),  # the owner was told that the environment of the tokens is not asked for
    UniqueConstraint("channel_id", "identity"),
    Index("ix_publishers_subject", "subject"),
    Index("ix_publishers_issuer", "issuer"),
    sqlite_autoincrement=True,
)

# Tokens of issuers that were exchanged, until long after they have expired: none is exchanged again.
used_tokens = Table(
    "used_tokens",
    metadata,
    Column("issuer", _name(500), primary_key=True),
    Column("digest", LargeBinary(32), primary_key=True),  # of the jti, or of the token where it has none
    Column("count", Integer, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("ix_used_tokens_expires_at", "expires_at"),
)

# What workflows got in exchange. A token is good for the channels of the publishers that it still has.
workflow_tokens = Table(
    "workflow_tokens",
    metadata,
    _id(),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("issuer", _name(500), nullable=False),
    Column("workflow", Text, nullable=False),  # JSON: what the issuer vouched for
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Index("ix_workflow_tokens_expires_at", "expires_at"),
    sqlite_autoincrement=True,
)

token_publishers = Table(
    "token_publishers",
    metadata,
    _belongs_to("token_id", "workflow_tokens.id", primary_key=True),
    _belongs_to("publisher_id", "publishers.id", primary_key=True),
    Index("ix_token_publishers_publisher_id", "publisher_id"),
)

# Every file that ever came in, whoever sent it. Nothing deletes a row, and none refers to what can be deleted: the
# record of a channel outlives it. Each row's hash covers the hash of the row before it (`trust.uploads`).
uploads = Table(
    "uploads",
    metadata,
    Column("channel_id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),  # from 1 in each channel
    Column("at", BigInteger, nullable=False),
    Column("channel", _name(128), nullable=False),
    Column("subdir", _name(32), nullable=False),
    Column("file_name", _name(211), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("replaced_sha256", LargeBinary(32)),  # what had the name before
    Column("attestations_sha256", LargeBinary(32)),
    Column("principal", Text, nullable=False),  # who it was, in words
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
    Index("ix_uploads_channel", "channel"),
)

# Where each of these chains ends, so that rows missing from its end are missed.
upload_chains = Table(
    "upload_chains",
    metadata,
    Column("channel_id", BigInteger, primary_key=True, autoincrement=False),
    Column("count", BigInteger, nullable=False),
    Column("head", LargeBinary(32), nullable=False),
)

# The files beside package files that hold their attestations (CEP 50), by their bytes; the current one of a file is
# the one that nothing has taken the place of.
attestations = Table(
    "attestations",
    metadata,
    _belongs_to("subdir_id", "subdirs.id", primary_key=True),
    Column("file_name", _name(211), primary_key=True),
    Column("sha256", LargeBinary(32), primary_key=True),  # of `content`
    Column("content", LargeBinary, nullable=False),
    Column("file_sha256", LargeBinary(32), nullable=False),
    Column("claims", Text, nullable=False),  # JSON: what the certificate said, as it was verified
    Column("accepted_at", BigInteger, nullable=False),
    Column("superseded_at", BigInteger),
)

# How far the manifests in the store have followed the rows (`packages.manifest_writer`). No foreign keys: the row of
# a deleted channel stays until its objects in the store are deleted.
manifest_marks = Table(
    "manifest_marks",
    metadata,
    Column("store_id", String(32), primary_key=True),
    Column("channel_id", BigInteger, primary_key=True, autoincrement=False),
    Column("subdir_id", BigInteger, primary_key=True, autoincrement=False),  # 0: the object of the channel itself
    Column("revision", BigInteger, nullable=False),  # of the subdir when its objects were last up to date; -1: never
    Column("digest", LargeBinary(32)),  # of the channel's object as last written
)

# Blobs that no manifest named when the database was rebuilt; the sweep leaves them until an operator releases them.
kept_blobs = Table(
    "kept_blobs",
    metadata,
    Column("sha256", LargeBinary(32), primary_key=True),
    Column("size", BigInteger, nullable=False),
)
