"""What the SDK costs beside what people would use instead, measured in one run: `python -m benchmarks`."""
