"""The calls about one bill as values: each function checks its arguments and returns an `Operation` to send."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, TypeAlias

import attrs

from enkash_async._support import checks
from enkash_async._wire.operation import Effect, Operation, Request, json_request, path
from enkash_async.config import Routes
from enkash_async.errors import EnkashError, InvalidRequestError
from enkash_async.models import Bill, Circle, FetchedBill

__all__ = [
    "Create",
    "Wanted",
    "biller_words",
    "create",
    "create_from_fetch",
    "due_amount",
    "fetch_current",
    "get",
    "get_by_reference",
]

#: Returns a text that says why a reply must belong to another call, or None; see `Operation`.
Contradiction: TypeAlias = Callable[[Bill | EnkashError], str | None]


@attrs.frozen(kw_only=True)
class Wanted:
    """The facts of a create request, to compare with a bill; a field is None if the request did not give the fact.

    Args:
        reference_id: The caller's id of the bill.
        biller_id: EnKash's number of the biller.
        consumer_number: The biller's input `cn`.
        inputs: The biller's other inputs, by key.
        circle: Telecom circle.
        company_biller_id: EnKash's id of this consumer at this biller, from the fetch.
        amount: Rupees to pay.
        bill_number: The biller's number of the bill.
        bill_date: Date of the bill, in India.
    """

    reference_id: str
    biller_id: int | None = None
    consumer_number: str | None = attrs.field(default=None, repr=False)
    inputs: Mapping[str, str] = attrs.field(factory=dict, repr=False, hash=False)
    circle: str | None = None
    company_biller_id: str | None = None
    amount: Decimal | None = None
    bill_number: str | None = None
    bill_date: date | None = None

    def redacted(self, text: str) -> str:
        """Return a text from EnKash with the consumer number masked; unchanged if this object holds no number."""
        return text.replace(self.consumer_number, "***") if self.consumer_number else text


@attrs.frozen
class Create:
    """A create: the operation to send, and the facts to compare with a bill that is found afterwards."""

    operation: Operation[Bill]
    wanted: Wanted


def fetch_current(
    routes: Routes,
    biller_id: int,
    params: Mapping[str, str | int],
    *,
    circle: Circle | str | None,
    remarks: str | None,
    key_contact_email: str | None,
) -> Operation[FetchedBill]:
    """Return the operation *Fetch Current Bill* (api-10664798).

    Raises:
        InvalidRequestError: The arguments are wrong.
    """
    inputs = checks.bill_params(params)
    body = {
        "billerId": checks.biller_id(biller_id),
        "circle": checks.optional(checks.text, circle, "circle"),
        "billParams": inputs,
        "remarks": checks.optional(checks.text, remarks, "remarks"),
        "keyContactEmail": checks.optional(checks.text, key_contact_email, "key_contact_email"),
    }
    return Operation(
        name="bills.fetch_current",
        request=json_request("POST", path(routes.fetch_bill), checks.dropped_none(body)),
        result=FetchedBill,
        effect=Effect.READ,  # no money moves, but EnKash may add the consumer to the company's consumers
        sensitive=tuple(inputs.values()),
        alone=True,  # a reply names no consumer: a late reply to another fetch would look right
    )


def due_amount(fetched: FetchedBill) -> Decimal | None:
    """Return the rupees to pay for a fetched bill: the net amount, or `bill_amount` if there is no net amount."""
    return fetched.bill_net_amount if fetched.bill_net_amount is not None else fetched.bill_amount


def biller_words(fetched: FetchedBill) -> str:
    """Return the biller's message with the consumer number masked, since the message may repeat the number."""
    words = fetched.status_message or ""
    return words.replace(fetched.consumer_number, "***") if fetched.consumer_number else words


def create_from_fetch(
    routes: Routes, fetched: FetchedBill, *, reference_id: str, amount: Decimal | int | None
) -> Create:
    """Return the operation *Create Bill After Successful Bill Fetch* (api-10664803).

    Raises:
        InvalidRequestError: The arguments are wrong, or the fetched bill has nothing to pay.
    """
    reference = checks.identifier(reference_id, "reference_id")
    if not isinstance(fetched, FetchedBill):
        raise InvalidRequestError(f"fetched must be what fetch_current returned, not {type(fetched).__name__}")
    net = due_amount(fetched)
    if fetched.company_biller_id is None or net is None:
        words = biller_words(fetched)
        said = f" (the biller said: {words})" if words else ""
        raise InvalidRequestError(f"the fetched bill has no amount to pay or no company_biller_id{said}")
    due = checks.amount(net if amount is None else amount, "amount")
    company_biller_id = checks.text(fetched.company_biller_id, "fetched.company_biller_id")
    body = {
        "referenceId": reference,
        "companyBillerId": company_biller_id,
        "billNetAmount": due,
        # EnKash requires this member. If the biller gave only a net amount, the bill's amount is the same.
        "billAmount": fetched.bill_amount if fetched.bill_amount is not None else net,
        "earlyPaymentAmount": fetched.early_payment_amount,
        "latePaymentAmount": fetched.late_payment_amount,
        "billDate": fetched.bill_date,
        "earlyPaymentDate": fetched.early_payment_date,
        "billDueDate": fetched.bill_due_date,
        "actualDueDate": fetched.actual_due_date,
        "billStartDate": fetched.bill_start_date,
        "billEndDate": fetched.bill_end_date,
        "billNumber": fetched.bill_number,
        "validationId": fetched.validation_id,
        "billId": fetched.bill_id,
    }
    wanted = Wanted(
        reference_id=reference,
        biller_id=fetched.biller_id,
        consumer_number=fetched.consumer_number,
        company_biller_id=company_biller_id,
        amount=due,
        bill_number=fetched.bill_number,
        bill_date=fetched.bill_date,
    )
    sensitive = () if fetched.consumer_number is None else (fetched.consumer_number,)
    return _create("bills.create_from_fetch", routes.create_bill, body, wanted, sensitive)


def create(
    routes: Routes,
    biller_id: int,
    params: Mapping[str, str | int],
    *,
    reference_id: str,
    bill_amount: Decimal | int | None,
    circle: Circle | str | None,
    bill_date: date | None,
    bill_due_date: date | None,
    remarks: str | None,
    key_contact_email: str | None,
    name: str | None,
    email: str | None,
    extra: Mapping[str, Any] | None,
) -> Create:
    """Return the operation *Create Bill Without Bill Fetch* (api-10664800).

    Raises:
        InvalidRequestError: The arguments are wrong.
    """
    reference = checks.identifier(reference_id, "reference_id")
    inputs = checks.bill_params(params)
    amount = checks.optional(checks.amount, bill_amount, "bill_amount")
    body = {
        "referenceId": reference,
        "billerId": checks.biller_id(biller_id),
        "circle": checks.optional(checks.text, circle, "circle"),
        "billParams": inputs,
        "billAmount": amount,
        "billDate": checks.optional(checks.day, bill_date, "bill_date"),
        "billDueDate": checks.optional(checks.day, bill_due_date, "bill_due_date"),
        "remarks": checks.optional(checks.text, remarks, "remarks"),
        "keyContactEmail": checks.optional(checks.text, key_contact_email, "key_contact_email"),
        "name": checks.optional(checks.text, name, "name"),
        "email": checks.optional(checks.text, email, "email"),
    }
    further = _further(extra, body)
    sensitive = (*inputs.values(), *(word for word in further.values() if isinstance(word, str)))
    wanted = Wanted(
        reference_id=reference,
        biller_id=biller_id,
        consumer_number=inputs["cn"],
        inputs={key: value for key, value in inputs.items() if key != "cn"},
        circle=None if circle is None else str(body["circle"]),
        amount=amount,
        bill_date=bill_date,
    )
    return _create("bills.create", routes.add_bill, {**body, **further}, wanted, sensitive)


def get(routes: Routes, utility_enkash_id: str, contradiction: Contradiction | None = None) -> Operation[Bill]:
    """Return the operation *Get Utility Bill Status* (api-10664797).

    Args:
        routes: The path of every operation.
        utility_enkash_id: The bill.
        contradiction: Finds out whether the reply is about another bill; None compares nothing.

    Raises:
        InvalidRequestError: The id is not safe to put into a path.
    """
    wanted = checks.identifier(utility_enkash_id, "utility_enkash_id")
    return _reading("bills.get", contradiction, path(routes.bill, utilityEnkashId=wanted))


def get_by_reference(routes: Routes, reference_id: str, contradiction: Contradiction | None = None) -> Operation[Bill]:
    """Return the operation *Get Utility Bill By Reference ID* (api-10664801).

    Args:
        routes: The path of every operation.
        reference_id: The bill.
        contradiction: Finds out whether the reply is about another bill; None compares nothing.

    Raises:
        InvalidRequestError: The reference is not safe to put into a path.
    """
    wanted = checks.identifier(reference_id, "reference_id")
    return _reading("bills.get_by_reference", contradiction, path(routes.bill_by_reference, referenceId=wanted))


def _reading(name: str, contradiction: Contradiction | None, to: str) -> Operation[Bill]:
    request = Request(method="GET", path=to)
    return Operation(name=name, request=request, result=Bill, effect=Effect.READ, contradiction=contradiction)


def _create(name: str, route: str, body: Mapping[str, Any], wanted: Wanted, sensitive: tuple[str, ...]) -> Create:
    operation = Operation(
        name=name,
        request=json_request("POST", path(route), checks.wire(checks.dropped_none(body), name)),
        result=Bill,
        effect=Effect.CREATES,
        reference_id=wanted.reference_id,
        sensitive=sensitive,
    )
    return Create(operation, wanted)


def _further(extra: Mapping[str, Any] | None, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members that the caller adds under EnKash's names; refuse a member that has its own argument."""
    if extra is None:
        return {}
    if not isinstance(extra, Mapping):
        raise InvalidRequestError(f"extra must be a mapping of EnKash's names, not {type(extra).__name__}")
    if twice := sorted(set(extra) & set(body)):
        raise InvalidRequestError(f"extra holds {', '.join(twice)}: use the argument of that meaning")
    return {name: checks.wire(value, f"extra[{name!r}]") for name, value in extra.items()}
