"""Fixtures: an application with trusted publishers."""

from tests.support.publishing_app import app

__all__ = ["app"]
