"""Work that is done later, by any worker, once at least: a table in the same database."""
