"""The public calls, grouped as EnKash groups them."""
