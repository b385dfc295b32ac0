"""Users: accounts, email addresses, and the names that users can have."""
