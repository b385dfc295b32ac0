"""Consistency checks, repairs and rebuilds of a store, for the command line."""
