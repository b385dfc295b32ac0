"""OpenID Connect client: read and verify signed tokens, and find the keys of their issuers."""
