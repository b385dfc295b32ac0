"""API keys: created, listed, revoked, and checked when a request carries one."""
