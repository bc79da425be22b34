"""The bulk search: EnKash's filter words, and the values that they are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal

import attrs

from enkash_async.sandbox._payment import IST, UtilityPayment

__all__ = ["DAYS", "EQUAL", "MAX_RECORDS", "ONE_OF", "Query"]

MAX_RECORDS = 5_000

# Filter members with one text: a payment matches if its value is equal, case included.
EQUAL: Mapping[str, Callable[[UtilityPayment], str | None]] = {
    "utilityEnkashId": lambda payment: payment.utility_enkash_id,
    "consumerNumber": lambda payment: payment.company_biller.consumer_number,
    "billerType": lambda payment: payment.company_biller.biller.biller_type,
    "billerName": lambda payment: payment.company_biller.biller.name,
    "paymentStatus": lambda payment: payment.stage.payment_status,
    "billpayStatus": lambda payment: payment.stage.billpay_status,
    "approvalStatus": lambda payment: payment.stage.approval_status,
    "billReferenceId": lambda payment: payment.bill_reference_id,
    "billNumber": lambda payment: payment.bill.bill_number,
}

# Filter members with a list of texts: a payment matches if its value is in the list.
ONE_OF: Mapping[str, Callable[[UtilityPayment], str | None]] = {
    "utilityEnkashIds": EQUAL["utilityEnkashId"],
    "consumerNumbers": EQUAL["consumerNumber"],
    "companyBillerIds": lambda payment: payment.company_biller.company_biller_id,
    "statuses": EQUAL["paymentStatus"],
    "billPayStatuses": EQUAL["billpayStatus"],
}


def _day(instant: datetime | None) -> date | None:
    return None if instant is None else instant.astimezone(IST).date()


# Pairs of filter words: the first and the last day, both inclusive.
DAYS: Mapping[tuple[str, str], Callable[[UtilityPayment], date | None]] = {
    ("createdDateFrom", "createdDateTo"): lambda payment: _day(payment.created_at),
    ("billDueDateFrom", "billDueDateTo"): lambda payment: payment.bill.due_date,
    ("paymentStartDate", "paymentEndDate"): lambda payment: _day(payment.paid_at),
    ("billpayDateFrom", "billpayDateTo"): lambda payment: _day(payment.paid_at),
    ("refundDateFrom", "refundDateTo"): lambda payment: _day(payment.refunded_at),
}


@attrs.frozen(kw_only=True)
class Query:
    """A search; a payment must meet every condition.

    Args:
        equal: The wanted text, by the filter word from `EQUAL`.
        one_of: The accepted texts, by the filter word from `ONE_OF`; an empty set finds nothing.
        days: The wanted day, by the filter word from `DAYS`; a payment without this date does not match.
        amount_from: Least rupees, inclusive.
        amount_to: Most rupees, inclusive.
        offset: Records to skip.
        limit: Most records to return; never more than 5,000.

    EnKash page: Fetch Bulk Bill Details (api-10664799).
    """

    equal: Mapping[str, str] = attrs.field(factory=dict)
    one_of: Mapping[str, frozenset[str]] = attrs.field(factory=dict)
    days: Mapping[str, date] = attrs.field(factory=dict)
    amount_from: Decimal | None = None
    amount_to: Decimal | None = None
    offset: int = 0
    limit: int = MAX_RECORDS

    @property
    def ids(self) -> frozenset[str] | None:
        """The only ids that can match, or None if ids are not limited; the other conditions still apply."""
        one = self.equal.get("utilityEnkashId")
        return self.one_of.get("utilityEnkashIds") if one is None else frozenset({one})

    def select(self, payments: Iterable[UtilityPayment]) -> list[UtilityPayment]:
        """Return the matching payments of the requested page, in the order given."""
        found = [payment for payment in payments if self.matches(payment)]
        return found[self.offset : self.offset + min(self.limit, MAX_RECORDS)]

    def matches(self, payment: UtilityPayment) -> bool:
        """Return whether a payment meets every condition."""
        return (
            all(EQUAL[word](payment) == text for word, text in self.equal.items())
            and all(ONE_OF[word](payment) in texts for word, texts in self.one_of.items())
            and (not self.days or all(self._within(pair, day_of(payment)) for pair, day_of in DAYS.items()))
            and (self.amount_from is None or payment.amount >= self.amount_from)
            and (self.amount_to is None or payment.amount <= self.amount_to)
        )

    def _within(self, pair: tuple[str, str], day: date | None) -> bool:
        first, last = (self.days.get(word) for word in pair)
        if first is None and last is None:
            return True
        return day is not None and (first is None or first <= day) and (last is None or day <= last)
