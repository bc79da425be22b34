"""What each call does with the ledger: takes a request as a value and returns the payload; no HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import attrs

from enkash_async.sandbox import _reply
from enkash_async.sandbox._body import Body, invalid, required, whole_number
from enkash_async.sandbox._catalogue import CIRCLES, categories
from enkash_async.sandbox._ledger import Ledger
from enkash_async.sandbox._payment import Bill, CompanyBiller, UtilityPayment
from enkash_async.sandbox._refusals import FetchFailedError
from enkash_async.sandbox._registration import EVENTS, Registration
from enkash_async.sandbox._reply import FetchStyle
from enkash_async.sandbox._search import DAYS, EQUAL, MAX_RECORDS, ONE_OF, Query

__all__ = ["ENDPOINTS", "Call", "Endpoint"]

# The pattern as api-10664802 prints it: no full stop, no slash, nothing outside ASCII.
_REMARKS = r"[A-Za-z0-9 ,@#$%^&*+:;?!()\-_\"'`]{1,255}"
_OTP = r"[0-9]{6}"
_COMPANY_ID = r"CEK[A-Z0-9]{7}"
_MAX_IDS = 1_000
_PAYMENT_TYPES = ("INVOICE", "GST", "UTILITY", "RENTAL", "CONSENT_TRANSACTION", "COLLECTION_INVOICE", "ADVANCE_PAYMENT")
# fmt: off
_SEARCHED_STATUSES = (
    "PROCESS", "SUCCESS", "FAILED", "PENDING", "CANCELLED", "EXPIRED", "PARTIAL_REFUNDED", "REFUNDED",
    "IN_PROCESS", "REFUND_REQUESTED", "PENDING_WITH_BANK",
)
# fmt: on


@attrs.frozen(kw_only=True)
class Call:
    """A request whose token was accepted.

    Args:
        ledger: State that the call acts on.
        body: The JSON body; empty for a GET.
        path: Decoded values of the placeholders in the path.
        query: The query parameters.
        fetch_style: Casing of the names in the reply to a fetch.
    """

    ledger: Ledger
    body: Body
    path: Mapping[str, str]
    query: Mapping[str, str]
    fetch_style: FetchStyle


Endpoint: TypeAlias = Callable[[Call], object]


def _fetch_bill(call: Call) -> object:
    """Fetch Current Bill (api-10664798); a failed fetch returns only a `statusMessage`."""
    company_biller = _enrol(call)
    try:
        bill = call.ledger.fetch(company_biller)
    except FetchFailedError as failed:
        return {"statusMessage": str(failed)}
    return _reply.fetched_bill(company_biller, bill, call.fetch_style)


def _enrol(call: Call) -> CompanyBiller:
    body = call.body
    biller_id = required(body.integer("billerId"), "billerId")
    params = required(body.string_map("billParams"), "billParams")
    if not params.get("cn"):
        raise invalid("billParams.cn is required")
    for name in ("remarks", "keyContactEmail"):
        body.text(name)
    return call.ledger.enrol(biller_id, params, body.text("circle", among=CIRCLES))


def _add_bill(call: Call) -> object:
    """Create Bill Without Bill Fetch (api-10664800); without a billAmount, the bill has the amount that is due."""
    body = call.body
    company_biller = _enrol(call)
    due = call.ledger.due(company_biller)
    amount = body.number("billAmount", least=1)
    bill = attrs.evolve(
        due,
        bill_amount=due.bill_amount if amount is None else amount,
        net_amount=due.net_amount if amount is None else amount,
        bill_date=body.day("billDate") or due.bill_date,
        due_date=body.day("billDueDate") or due.due_date,
    )
    for name in ("name", "email"):
        body.text(name)
    payment = call.ledger.create(
        company_biller, bill, reference_id=body.text("referenceId"), remarks=body.text("remarks")
    )
    return _reply.added_bill(payment)


def _create_bill(call: Call) -> object:
    """Create Bill After Successful Bill Fetch (api-10664803)."""
    body = call.body
    company_biller = call.ledger.enrolment(required(body.text("companyBillerId"), "companyBillerId"))
    bill = _as_fetched(body, call.ledger.due(company_biller).units)
    return _reply.added_bill(call.ledger.create(company_biller, bill, reference_id=body.text("referenceId")))


def _as_fetched(body: Body, units: int | None) -> Bill:
    # Members that the request lacks stay None, so that callers see which members they forgot.
    return Bill(
        bill_number=body.text("billNumber"),
        bill_amount=required(body.number("billAmount"), "billAmount"),
        net_amount=required(body.number("billNetAmount", least=1), "billNetAmount"),
        bill_date=body.day("billDate"),
        due_date=body.day("billDueDate"),
        actual_due_date=body.day("actualDueDate"),
        start_date=body.day("billStartDate"),
        end_date=body.day("billEndDate"),
        early_date=body.day("earlyPaymentDate"),
        early_amount=body.number("earlyPaymentAmount"),
        late_amount=body.number("latePaymentAmount"),
        bill_id=body.text("billId"),
        validation_id=body.text("validationId"),
        units=units,
    )


def _rendered(ledger: Ledger, payment: UtilityPayment) -> dict[str, object]:
    return _reply.utility_payment(payment, ledger.company_name, ledger.company_id)


def _bill(call: Call) -> object:
    """Get Utility Bill Status (api-10664797)."""
    return _rendered(call.ledger, call.ledger.look_up(call.ledger.get(call.path["utilityEnkashId"])))


def _bill_by_reference(call: Call) -> object:
    """Get Utility Bill By Reference ID (api-10664801)."""
    return _rendered(call.ledger, call.ledger.look_up(call.ledger.get_by_reference(call.path["referenceId"])))


def _search_bills(call: Call) -> object:
    """Fetch Bulk Bill Details (api-10664799); the sandbox returns a list, since EnKash documents no reply.

    The sandbox ignores filters on users, service providers and payout dates, which it does not have.
    """
    query, ours = _query(call.body), {"companyName": call.ledger.company_name, "companyId": call.ledger.company_id}
    # The sandbox has one company, so a search for another one finds nothing.
    if any(call.body.text(word) not in (None, own) for word, own in ours.items()):
        return []
    return [_rendered(call.ledger, payment) for payment in call.ledger.find(query)]


def _query(body: Body) -> Query:
    given = {word: body.text(word) for word in EQUAL}
    lists = {word: body.texts(word, among=_SEARCHED_STATUSES if word == "statuses" else None) for word in ONE_OF}
    days = {word: body.day(word) for pair in DAYS for word in pair}
    offset, limit = body.integer("offset", least=0), body.integer("limit", least=1)
    return Query(
        equal={word: text for word, text in given.items() if text is not None},
        one_of={word: frozenset(texts) for word, texts in lists.items() if texts is not None},
        days={word: day for word, day in days.items() if day is not None},
        amount_from=body.number("amountRangeStart"),
        amount_to=body.number("amountRangeEnd"),
        offset=0 if offset is None else offset,
        limit=MAX_RECORDS if limit is None else limit,
    )


def _confirm_debit(call: Call) -> object:
    """Confirm Debit for Bill Payment (api-10664802); EnKash does not document a payload that names bad ids."""
    call.body.text("approvalStatus", among=("CHECKER_APPROVED",))
    done = call.ledger.confirm(_ids(call.body, "utilityPaymentIds"), call.body.text("remarks", pattern=_REMARKS))
    if not done.refused:
        return None
    return {"failed": [{"utilityEnkashId": key, "failureReason": reason} for key, reason in done.refused.items()]}


def _ids(body: Body, name: str) -> list[str]:
    ids = required(body.texts(name), name)
    if not 1 <= len(ids) <= _MAX_IDS:
        raise invalid(f"{name} must hold 1 to {_MAX_IDS} ids")
    return ids


def _initiate_payment(call: Call) -> object:
    """Initiate Bill Payment via EnKash PG: not publicly documented, modelled on a similar call (api-18880652).

    The sandbox confirms the debits at once. `paymentStatus` is the common status of the bills, or else IN_PROCESS.
    """
    body = call.body
    payment_type = required(body.text("paymentType", among=_PAYMENT_TYPES), "paymentType")
    amount = body.number("amount", least=1)
    for name in ("accountNo", "otpReferenceNumber", "paymentRemarks"):
        body.text(name)
    for name in ("seamlessBanking", "frontendVersion", "partialPayment"):
        body.flag(name)
    body.text("otp", pattern=_OTP)
    urn = body.text("urn")
    payments = call.ledger.confirm(_ids(body, "paymentIds")).payments
    statuses = {payment.stage.payment_status for payment in payments}
    return {
        "paymentIds": [payment.utility_enkash_id for payment in payments],
        "paymentType": payment_type,
        "paymentStatus": statuses.pop() if len(statuses) == 1 else "IN_PROCESS",
        "amount": sum(payment.amount for payment in payments) if amount is None else amount,
        "urn": urn,
    }


def _billers(call: Call) -> object:
    """Fetch Biller List: not publicly documented; optional query parameters `category`, `offset` and `limit`."""
    category = call.query.get("category")
    offset = whole_number(call.query.get("offset", "0"), "offset")
    limit = whole_number(call.query.get("limit", str(MAX_RECORDS)), "limit")
    found = [entry for entry in call.ledger.billers if category in (None, entry.biller_type)]
    return [_reply.biller(entry) for entry in found[offset : offset + limit]]


def _biller_categories(call: Call) -> object:
    """Fetch Biller Categories: not publicly documented."""
    return [{"name": name, "count": count} for name, count in categories(call.ledger.billers).items()]


def _register_webhook(call: Call) -> object:
    """Create Webhook Configuration (api-10664805); EnKash does not document the reply; ours omits the secrets."""
    body = call.body
    enabled = body.flag("enabled")
    events = required(body.texts("events", among=EVENTS), "events")
    try:
        registration = Registration(
            webhook_url=required(body.text("webhookUrl"), "webhookUrl"),
            events=tuple(dict.fromkeys(events)),
            headers=body.string_map("headers") or {},
            enabled=True if enabled is None else enabled,
            company_id=body.text("companyId", pattern=_COMPANY_ID),
            ssl_certificate=body.text("sslCertificate"),
        )
    except ValueError as wrong:
        raise invalid(str(wrong)) from None
    call.ledger.register(registration)
    return {
        "webhookUrl": registration.webhook_url,
        "events": list(registration.events),
        "enabled": registration.enabled,
        "companyId": registration.company_id,
    }


# HTTP method and function for every field of Routes but the login.
ENDPOINTS: Mapping[str, tuple[str, Endpoint]] = {
    "fetch_bill": ("POST", _fetch_bill),
    "billers": ("GET", _billers),
    "biller_categories": ("GET", _biller_categories),
    "search_bills": ("POST", _search_bills),
    "bill_by_reference": ("GET", _bill_by_reference),
    "bill": ("GET", _bill),
    "confirm_debit": ("PUT", _confirm_debit),
    "initiate_payment": ("POST", _initiate_payment),
    "add_bill": ("POST", _add_bill),
    "create_bill": ("POST", _create_bill),
    "register_webhook": ("POST", _register_webhook),
}
