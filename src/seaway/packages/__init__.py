"""Published files of a channel: lists, search, yank, deletion, metadata corrections, damaged blobs and the sweep."""
