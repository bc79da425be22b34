"""Bytes to values and back: pure, without EnKash's calls and without I/O."""
