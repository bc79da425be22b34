"""One row of a batch: one bill to pay."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import attrs

from enkash_async._calls.requests import BillRequest
from enkash_async.models.base import hidden

__all__ = ["Row"]


@attrs.frozen(kw_only=True)
class Row:
    """One bill to pay.

    Attributes:
        line: Line of the file in which the row begins; the first line is 1.
        reference_id: The bill's reference at EnKash, from the file or derived.
        biller_id: EnKash's number of the biller.
        params: The biller's inputs, `cn` first.
        circle: Telecom circle as written in the file, or None.
        max_amount: The most to pay in rupees, or None for no ceiling.
        given: The cells as read, by header, without the columns that a result file adds.
        derived: Whether the reference was derived, because the file has none for this row.
        unclear: Whether the file is a result file in which this row's outcome is UNKNOWN.
        is_cut: Whether the line ends before the column of the ceiling, so that `max_amount` counts as empty.
        copies: Later rows for the same bill, with equal values in every column that is read, `max_amount` included.
        unread: Headers of the columns that are only copied into the result file.
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
    is_cut: bool = attrs.field(default=False, eq=False)
    copies: tuple[Row, ...] = attrs.field(default=(), eq=False)
    unread: tuple[str, ...] = attrs.field(default=(), eq=False)

    @property
    def request(self) -> BillRequest:
        """The request to pass to `payments.pay_many`, `pay` or `rehearse`."""
        return BillRequest(
            self.biller_id,
            self.params,
            reference_id=self.reference_id,
            circle=self.circle,
            max_amount=self.max_amount,
        )

    def is_same_bill(self, other: Row) -> bool:
        """Whether another row with the same reference also has the same values in all columns that are read."""
        return self.request == other.request and self.derived is other.derived
