"""Trusted publishing: issuers, publishers, and the exchange of a workflow token for an upload token."""
