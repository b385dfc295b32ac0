"""Trust in CI workflows: issuers, trusted publishers, token exchange and attestations."""
