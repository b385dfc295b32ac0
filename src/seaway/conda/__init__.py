"""conda formats: file names, archives, metadata, records, repodata and shards; no database, storage or settings."""
