"""The OAuth provider that command-line tools of users sign in with."""
