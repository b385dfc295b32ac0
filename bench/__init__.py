"""Reproducible benchmarks of Seaway, compared with its peers and with the limits of the machine: see docs/bench.md."""
