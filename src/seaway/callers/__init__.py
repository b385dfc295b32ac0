"""Callers: who makes a request, what they can do on the site, and how often."""
