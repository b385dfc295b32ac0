"""Reproducible measurements of Seaway beside its peers and beside what the machine allows: see docs/bench.md."""
