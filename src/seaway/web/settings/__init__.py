"""Channel settings, one module per page."""
