"""A whole house copied: into a backup and back, into another store, into another database."""
