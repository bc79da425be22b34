"""Concurrency, and what a failure means; no EnKash call is known here."""
