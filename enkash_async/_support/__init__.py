"""Helpers that every subpackage may use: argument checks, exact JSON, secrets, forks, clocks."""
