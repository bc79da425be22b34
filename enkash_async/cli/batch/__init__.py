"""The file of `enkash pay`: its rows, and what became of each."""
