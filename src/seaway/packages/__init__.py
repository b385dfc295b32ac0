"""The files of a channel after they were published: shown, yanked, deleted, swept."""
