"""Names of the states that tests run on: SQLite and a folder, or PostgreSQL and an S3 server."""

SQLITE_DISK = "sqlite-disk"
POSTGRES_S3 = "postgres-s3"
NAMES = (SQLITE_DISK, POSTGRES_S3)
