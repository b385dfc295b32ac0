"""The pages of one's own account, one file for each."""
