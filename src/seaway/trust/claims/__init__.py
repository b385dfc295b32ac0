"""The token claims of each kind of issuer, as data: one file for each kind."""
