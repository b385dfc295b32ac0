"""Secret scanning: revoke leaked secrets that GitHub reports."""
