"""Pays the bills of a CSV file; the command line calls it."""
