"""Pairing of database and store: both have the same identity, and nothing is deleted if the identities differ."""
