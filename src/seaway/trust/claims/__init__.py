"""What the tokens of each kind of issuer say, as data: one file for each kind."""
