"""The database and the store belong together: both carry one identity, and nothing is deleted when it differs."""
