"""Backup and restore, and copies of all data to another store or database."""
