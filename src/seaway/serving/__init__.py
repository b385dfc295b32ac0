"""Find the content for a request to read a channel: (channel, path, caller) -> response content."""
