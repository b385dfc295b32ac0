"""Fixtures: an application with trusted publishers."""

from tests.support.publishing_app import app as app
