"""Calls that move money, and the checks that keep a debit from happening twice."""
