"""Backup, restore, rebuild from a store, and moves to another store or database."""
