"""Paying the bills of a file; the command line is a shell over it."""
