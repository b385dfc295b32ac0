"""
The data model on one page.

Times are milliseconds since 1970 UTC (BigInteger), hashes are raw bytes, and what repodata says is stored
as the bytes that readers get. Queries live with the noun that they serve; nothing here knows them.

    users ─┬─ keys ── key_channels ─┐
           └─ members ──────────────┴─ channels ─┬─ packages
                                                 ├─ subdirs ─┬─ files
    released_names     audit                     │           ├─ shards, retired_shards, fragments
    jobs  schedules                              │           └─ documents
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
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
    Column("email", Text),
    Column("password_hash", Text),
    Column("is_admin", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
    sqlite_autoincrement=True,
)

channels = Table(
    "channels",
    metadata,
    _id(),
    Column("name", _name(128), nullable=False, unique=True),
    Column("description", Text, nullable=False),
    Column("logo_url", Text, nullable=False),
    Column("is_public", Boolean, nullable=False),
    Column("refuses_lookalikes", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
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

keys = Table(
    "keys",
    metadata,
    _id(),
    _belongs_to("user_id", "users.id"),
    Column("name", _name(100), nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("mode", String(24), nullable=False),
    Column("all_channels", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
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
    Column("section", String(16), nullable=False),
    Column("version", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("indexed_at", BigInteger, nullable=False),
    Column("uploaded_by", ForeignKey("users.id", ondelete="SET NULL")),
    Column("uploaded_as", Text, nullable=False),  # who it was, in words, for as long as the row lives
    Column("record", LargeBinary, nullable=False),
    Column("about", LargeBinary, nullable=False),
    UniqueConstraint("subdir_id", "file_name"),
    Index("ix_files_subdir_id_package_id", "subdir_id", "package_id"),
    Index("ix_files_sha256", "sha256"),
    sqlite_autoincrement=True,
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

# Replaced shards stay readable for a week: a client may hold an index that names them (CEP 16).
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
    sqlite_autoincrement=True,
)
