"""The calls about one bill as bulk jobs: what names an item, what can be worked on, and how."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from enkash_async._calls.requests import BillRequest
from enkash_async._flow.jobs import Job
from enkash_async._support import checks
from enkash_async.errors import InvalidRequestError
from enkash_async.models import Bill, FetchedBill

__all__ = ["creating", "fetching", "getting"]


def fetching(fetch_current: Callable[..., Awaitable[FetchedBill]]) -> Job[BillRequest, FetchedBill]:
    """Return the job that fetches what is due for each request."""

    async def fetch(request: BillRequest) -> FetchedBill:
        return await fetch_current(
            request.biller_id,
            request.params,
            circle=request.circle,
            remarks=request.remarks,
            key_contact_email=request.key_contact_email,
        )

    return Job(where="requests", check=_request, key=_key, digest=_digest, work=fetch)


def creating(
    create: Callable[..., Awaitable[Bill]], create_from_fetch: Callable[..., Awaitable[Bill]]
) -> Job[BillRequest, Bill]:
    """Return the job that creates a bill for each request, from what was fetched where there is something."""

    async def create_one(request: BillRequest) -> Bill:
        if request.fetched is not None:
            return await create_from_fetch(
                request.fetched, reference_id=request.reference_id, amount=request.bill_amount
            )
        return await create(
            request.biller_id,
            request.params,
            reference_id=request.reference_id,
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

    return Job(where="requests", check=_referenced, key=_key, digest=_digest, work=create_one)


def getting(get: Callable[[str], Awaitable[Bill]]) -> Job[str, Bill]:
    """Return the job that reads the bill of each id."""
    return Job(where="ids", check=_identifier, key=str, work=get)


def _request(given: object) -> BillRequest:
    if not isinstance(given, BillRequest):
        raise InvalidRequestError(f"requests must be BillRequest(biller_id, params, …), not {type(given).__name__}")
    return given


def _referenced(given: object) -> BillRequest:
    request = _request(given)
    if request.reference_id is None:
        raise InvalidRequestError(
            "a bulk create needs a reference_id in each BillRequest: a second run could pay twice without it"
        )
    return request


def _key(request: BillRequest) -> str:
    return request.key


def _digest(request: BillRequest) -> int:
    """Return what tells two requests of one reference apart within this run, ten times faster than their digests."""
    fetched = request.fetched
    return hash(
        (
            (request.biller_id, tuple(sorted(request.params.items())), request.bill_amount, str(request.circle)),
            # As text: these are not checked before they are sent, and what is no text may have no hash.
            repr((request.bill_date, request.bill_due_date, request.remarks, request.key_contact_email)),
            repr((request.name, request.email, request.extra)),
            fetched and (fetched.company_biller_id, fetched.bill_net_amount, fetched.bill_amount),
        )
    )


def _identifier(given: object) -> str:
    return checks.identifier(given, "an id")
