"""Background jobs: a table in the same database, processed by any worker, at least once."""
