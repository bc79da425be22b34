"""`json.loads` and nothing else: dicts, floats for amounts, strings for dates and statuses.

It checks nothing, and who reads a member has to know its name and its kind.
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["amount", "decode"]


def decode(body: bytes) -> list[dict[str, Any]]:
    """Return the bills of a search's reply.

    Args:
        body: The reply.
    """
    bills: list[dict[str, Any]] = json.loads(body)["payload"]
    return bills


def amount(bill: dict[str, Any]) -> float:
    """Return the amount of a bill.

    Args:
        bill: The bill.
    """
    found: float = bill["amount"]
    return found
