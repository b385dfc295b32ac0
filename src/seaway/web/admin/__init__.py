"""Pages for site admins; all other callers get a 404."""
