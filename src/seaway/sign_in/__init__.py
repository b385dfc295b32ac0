"""Sign-in: passwords, sessions, second factors, external login, and changes that affect the security of an account."""
