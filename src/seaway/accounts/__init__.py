"""People and what they carry: users, keys, and the principal that a request speaks for."""
