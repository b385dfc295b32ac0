"""User accounts, their credentials, and the caller of a request."""
