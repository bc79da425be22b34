"""The client's public calls, grouped as in EnKash's documentation."""
