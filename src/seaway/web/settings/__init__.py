"""The settings of a channel, one file for each page of them."""
