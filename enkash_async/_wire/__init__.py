"""Turns bytes into values and back. Pure: no I/O, and no particular EnKash call."""
