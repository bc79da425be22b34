"""A bill to fetch or to create, as one value of a bulk call."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import attrs

from enkash_async._support import checks, exact_json
from enkash_async.errors import InvalidRequestError
from enkash_async.models._bills import FetchedBill
from enkash_async.models._enums import Circle
from enkash_async.models.base import Travels, hidden, shown_short

__all__ = ["BillRequest"]

_UNFETCHED = ("bill_date", "bill_due_date", "name", "email", "extra")  # fields that only a create without a fetch takes
_SALT = secrets.token_bytes(16)  # without a salt, a reader of `key` could find the hidden digits by hashing guesses


# Type checkers take the argument types of `BillRequest` from these annotations. At run time, the checks refuse values
# of other types.
def _biller_id(value: int) -> int:
    return checks.biller_id(value)


def _params(value: Mapping[str, str | int]) -> dict[str, str]:
    return checks.bill_params(value)


def _amount(value: Decimal | int | None) -> Decimal | None:
    return checks.optional(checks.amount, value, "bill_amount")


def _ceiling(value: Decimal | int | None) -> Decimal | None:
    return checks.optional(checks.amount, value, "max_amount")


def _reference(value: str | None) -> str | None:
    return checks.optional(checks.identifier, value, "reference_id")


def _fetched(_: BillRequest, __: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not isinstance(value, FetchedBill):
        raise InvalidRequestError(f"fetched must be what fetch_current returned, not {type(value).__name__}")


def _shown_params(params: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name!r}: {shown_short(value)}" for name, value in params.items()) + "}"


def _kept_apart(digest: str) -> str:
    return hashlib.blake2b(digest.encode(), key=_SALT, digest_size=4).hexdigest()


@attrs.frozen
class BillRequest(Travels):
    """A bill to fetch or to create; the arguments are those of `bills.fetch_current` and `bills.create`.

    EnKash pages: Fetch Current Bill (api-10664798), Create Bill Without Bill Fetch (api-10664800), Create Bill After
    Successful Bill Fetch (api-10664803).

    In a FastAPI route whose body is one request, write `Annotated[BillRequest, Body()]`. Without `Body()`, FastAPI
    looks for the request in the query string.

    Args:
        biller_id: EnKash's number of the biller.
        params: The biller's inputs, including `cn`, the consumer number. A number with leading zeros must be a string.
        reference_id: Your id of the bill, never used before. `create_many` needs it, so that the job can be run again.
        bill_amount: Rupees to pay, at least 1; None lets EnKash set the amount.
        max_amount: The most that `payments.pay`, `pay_many` and `pay_each` may debit, in rupees; None sets no ceiling.
            Other calls ignore it.
        circle: Telecom circle, for billers that differ by circle.
        bill_date: Date of the bill.
        bill_due_date: Last day to pay the bill.
        remarks: Free text for EnKash.
        key_contact_email: Address to which EnKash mails after payment.
        name: The payer's name.
        email: The payer's mail address.
        extra: Further members of EnKash's create request under EnKash's names.
        fetched: The result of `fetch_current` for this bill, or None. With it, the bill is created from the fetch,
            and `bill_amount` overrides the fetched amount.

    Raises:
        InvalidRequestError: An argument is wrong.
    """

    biller_id: int = attrs.field(converter=_biller_id)
    params: Mapping[str, str] = attrs.field(converter=_params, repr=_shown_params, hash=False)
    reference_id: str | None = attrs.field(default=None, kw_only=True, converter=_reference)
    bill_amount: Decimal | None = attrs.field(default=None, kw_only=True, converter=_amount)
    max_amount: Decimal | None = attrs.field(default=None, kw_only=True, converter=_ceiling)
    circle: Circle | str | None = attrs.field(default=None, kw_only=True)
    bill_date: date | None = attrs.field(default=None, kw_only=True)
    bill_due_date: date | None = attrs.field(default=None, kw_only=True)
    remarks: str | None = attrs.field(default=None, kw_only=True)
    key_contact_email: str | None = attrs.field(default=None, kw_only=True, repr=hidden)
    name: str | None = attrs.field(default=None, kw_only=True, repr=hidden)
    email: str | None = attrs.field(default=None, kw_only=True, repr=hidden)
    extra: Mapping[str, Any] | None = attrs.field(default=None, kw_only=True, repr=hidden, hash=False)
    fetched: FetchedBill | None = attrs.field(default=None, kw_only=True, validator=_fetched)

    def __attrs_post_init__(self) -> None:
        if self.fetched is None:
            return
        other = self.fetched.biller_id, self.fetched.consumer_number
        if other != (None, None) and other != (self.biller_id, self.params["cn"]):
            raise InvalidRequestError("fetched belongs to another bill: it was fetched for another biller or consumer")
        left_out = [name for name in _UNFETCHED if getattr(self, name) is not None]
        if left_out:
            raise InvalidRequestError(f"{', '.join(left_out)} cannot be sent with what was fetched: leave it out")

    @property
    def key(self) -> str:
        """The request's name in a `BulkResult`: the `reference_id` if there is one.

        Without a `reference_id`, the name consists of the biller, the shortened consumer number and a hash. That hash
        differs from process to process.
        """
        if self.reference_id is not None:
            return self.reference_id
        return f"{self.biller_id}/{shown_short(self.params['cn'])[1:-1]}/{_kept_apart(self.digest)}"

    @property
    def digest(self) -> str:
        """A digest of every field but the reference and `max_amount`, the same on every machine."""
        content = {
            field.name: getattr(self, field.name)
            for field in attrs.fields(BillRequest)
            if field.name not in {"reference_id", "max_amount", "fetched"}
        }
        content["params"] = sorted(self.params.items())
        if self.bill_amount is not None:  # 10 and 10.00 must give the same digest
            content["bill_amount"] = "/".join(map(str, self.bill_amount.as_integer_ratio()))
        if self.fetched is not None:
            fetched = self.fetched
            content["fetched"] = [fetched.company_biller_id, fetched.bill_net_amount, fetched.bill_amount]
        return hashlib.sha256(exact_json.dumps(checks.wire(content, "the request")).encode()).hexdigest()
