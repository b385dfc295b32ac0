"""Index documents derived from file rows: shards, the shard index, and whole documents such as repodata.json."""
