"""Checks that are too heavy for every commit; run by hand: `python -m tests.bench.scale --help`."""
