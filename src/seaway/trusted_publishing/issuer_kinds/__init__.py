"""Claims in the tokens of each kind of issuer, as data: one module per kind."""
