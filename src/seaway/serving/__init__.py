"""(channel, path, principal) -> an answer."""
