"""Benchmarks: the cost of the SDK beside its alternatives, measured in one run: `python -m benchmarks`."""
