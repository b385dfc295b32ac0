"""Encryption of stored values with the secret key of the site."""
