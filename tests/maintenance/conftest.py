"""Fixtures: the channel of the index tests."""

from tests.indexing.conftest import channel as channel
from tests.indexing.conftest import channel_with as channel_with
from tests.indexing.conftest import filled as filled
from tests.indexing.conftest import filled_folder as filled_folder
from tests.indexing.conftest import seaway as seaway
