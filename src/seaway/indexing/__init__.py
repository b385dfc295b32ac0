"""From file rows to what solvers read: shards, the index of names, whole documents."""
