"""The errors with which the ledger refuses requests, and their reasons."""

from __future__ import annotations

import enum

__all__ = ["FetchFailedError", "Refusal", "RefusedError"]


class Refusal(enum.Enum):
    """Why the ledger refuses a request."""

    INVALID = enum.auto()
    NOT_FOUND = enum.auto()
    UNKNOWN_BILLER = enum.auto()
    INACTIVE_BILLER = enum.auto()
    DUPLICATE_REFERENCE = enum.auto()
    NOT_CONFIRMABLE = enum.auto()
    VELOCITY = enum.auto()


class RefusedError(Exception):
    """The ledger refuses a request.

    Args:
        refusal: The reason.
        text: The reason in words, for the payload of the reply.
    """

    def __init__(self, refusal: Refusal, text: str) -> None:
        super().__init__(text)
        self.refusal = refusal
        self.text = text


class FetchFailedError(Exception):
    """The biller shows no bill; the text of the error is the `statusMessage`."""
