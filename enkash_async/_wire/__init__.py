"""Turns bytes into values and back. Pure: no I/O, and no knowledge of single EnKash calls."""
