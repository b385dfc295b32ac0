"""Trusted publishing: issuers, publishers, and the exchange of a workflow token for a publish token."""
