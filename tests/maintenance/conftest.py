"""Fixtures: the channel of the index tests."""

from tests.indexing.conftest import channel, channel_with, filled, filled_folder, seaway

__all__ = ["channel", "channel_with", "filled", "filled_folder", "seaway"]
