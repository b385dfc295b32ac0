"""What conda defines: names, archives, metadata, records, repodata and shards. Pure: bytes and values only."""
