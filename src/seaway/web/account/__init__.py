"""Account settings, one module per page."""
