"""One bill to pay, as a line of a file says it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import attrs

from enkash_async.models.base import hidden

__all__ = ["Row"]


@attrs.frozen(kw_only=True)
class Row:
    """One bill to pay.

    Attributes:
        line: The line of the file in which the row begins; the first line is 1.
        reference_id: What EnKash knows the bill by; the file's own, or derived.
        biller_id: EnKash's number of the biller.
        params: The biller's inputs, `cn` first.
        circle: As written, or None.
        max_amount: The most to pay in rupees, or None.
        given: The cells as they were read, by header; without those that a result file adds.
        derived: Whether the reference is derived.
        unclear: Whether the file is a result file that says of this row that it may or may not be paid.
    """

    line: int
    reference_id: str
    biller_id: int
    params: Mapping[str, str] = attrs.field(repr=hidden, hash=False)
    circle: str | None = None
    max_amount: Decimal | None = None
    given: Mapping[str, str] = attrs.field(factory=dict, repr=hidden, hash=False)
    unclear: bool = attrs.field(default=False, eq=False)
    derived: bool = attrs.field(default=False, eq=False)
