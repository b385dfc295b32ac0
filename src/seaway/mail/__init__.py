"""Emails to users: content and delivery."""
