"""The main job: from the bytes of a stranger to a package in a channel."""
