"""Turns a `BillRequest` into its fetch operation, its create operation, and the facts that the caller gave."""

from __future__ import annotations

import hashlib

import attrs

from enkash_async._calls import bills
from enkash_async._calls.bills import Create, Wanted
from enkash_async._calls.requests import BillRequest
from enkash_async._support import exact_json
from enkash_async._support.text import folded
from enkash_async._wire.operation import Operation
from enkash_async.config import Routes
from enkash_async.models import FetchedBill

__all__ = ["asked", "create", "fetch", "fingerprint", "needs_fetch"]


def asked(request: BillRequest, reference_id: str) -> Wanted:
    """Return the facts that the caller gave, to compare them with the bill of a reference that was used before.

    Args:
        request: The caller's request, before this call has fetched its bill.
        reference_id: The reference of the request.
    """
    fetched = request.fetched or FetchedBill()
    return Wanted(
        reference_id=reference_id,
        biller_id=request.biller_id,
        consumer_number=request.params["cn"],
        inputs={key: value for key, value in request.params.items() if key != "cn"},
        circle=None if request.circle is None else str(request.circle),
        company_biller_id=fetched.company_biller_id,
        amount=request.bill_amount,
        bill_number=fetched.bill_number,
        bill_date=request.bill_date or fetched.bill_date,
    )


def fingerprint(request: BillRequest) -> str:
    """Return two hashes with a colon between them: a hash of the bill, and a hash of all fields but the ceiling.

    The hashes show whether two requests with the same reference are the same. Spellings that EnKash treats as equal
    give the same hash of the bill.
    """
    params = sorted((name, folded(value)) for name, value in request.params.items())
    bill = exact_json.dumps([request.biller_id, params, str(request.circle or "").strip().upper()])
    return f"{hashlib.sha256(bill.encode()).hexdigest()[:32]}:{request.digest[:32]}"


def needs_fetch(request: BillRequest) -> bool:
    """Whether to fetch the bill before its create; False if the caller has fetched or described the bill."""
    described = (request.bill_amount, request.bill_date, request.bill_due_date, request.name, request.email)
    return request.fetched is None and request.extra is None and all(one is None for one in described)


def fetch(routes: Routes, request: BillRequest) -> Operation[FetchedBill]:
    """Return the operation that fetches the bill of a request."""
    return bills.fetch_current(
        routes,
        request.biller_id,
        request.params,
        circle=request.circle,
        remarks=request.remarks,
        key_contact_email=request.key_contact_email,
    )


def create(routes: Routes, request: BillRequest, reference_id: str) -> Create:
    """Return the create of a request, made from the fetched bill if the request has one.

    Raises:
        InvalidRequestError: An argument is wrong, or the fetched bill has nothing to pay.
    """
    if request.fetched is None:
        return bills.create(
            routes,
            request.biller_id,
            request.params,
            reference_id=reference_id,
            bill_amount=request.bill_amount,
            circle=request.circle,
            bill_date=request.bill_date,
            bill_due_date=request.bill_due_date,
            remarks=request.remarks,
            key_contact_email=request.key_contact_email,
            name=request.name,
            email=request.email,
            extra=request.extra,
        )
    made = bills.create_from_fetch(routes, request.fetched, reference_id=reference_id, amount=request.bill_amount)
    own = asked(request, reference_id)
    facts = attrs.evolve(
        made.wanted,
        biller_id=own.biller_id,
        consumer_number=own.consumer_number,
        inputs=own.inputs,
        circle=own.circle,
    )
    return Create(made.operation, facts)
