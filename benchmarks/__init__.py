"""What the SDK costs, measured: `python -m benchmarks.fleet`."""
